"""Work units: fixed slices with ids from content, planned once and in bounded parts."""

import pytest

from data_specs.config import Config
from data_specs.records import Clip, TaggedClip
from pipeline import units
from pipeline.units import Plan, WorkUnit, open_plan, separate_units, tag_units, write_plan
from pipeline.workspace import Workspace

CLIPS = [Clip(clip_id=f"c{number}", path=f"{number}.wav", labels=("Rain", "Bark")) for number in range(7)]


def ids(made) -> list[list[str]]:
    return [[clip.clip_id for clip in unit.clips] for unit in made]


def dropped(clip: Clip) -> Clip:
    return clip.model_copy(update={"outcome": "dropped", "reason": "withdrawn"})


def test_a_row_that_is_not_kept_any_more_changes_no_unit_but_its_own():
    before = list(tag_units(CLIPS, 3))
    after = list(tag_units([CLIPS[0], dropped(CLIPS[1]), *CLIPS[2:]], 3))
    assert ids(before) == [["c0", "c1", "c2"], ["c3", "c4", "c5"], ["c6"]]
    assert ids(after) == [["c0", "c2"], ["c3", "c4", "c5"], ["c6"]]
    assert after[1:] == before[1:]
    assert after[0].unit_id != before[0].unit_id


def test_slices_without_a_kept_clip_give_no_unit():
    assert ids(tag_units([dropped(clip) for clip in CLIPS[:3]] + CLIPS[3:], 3)) == [["c3", "c4", "c5"], ["c6"]]


def test_separation_takes_the_clips_whose_tags_go_on_with_those_labels():
    tags = [TaggedClip(clip_id=clip.clip_id, labels=("Rain", "Siren")) for clip in CLIPS]
    tags[1] = TaggedClip(clip_id="c1", outcome="dropped", reason="one label")
    made = list(separate_units(zip(CLIPS, tags, strict=True), 4))
    assert ids(made) == [["c0", "c2", "c3", "c4"], ["c5", "c6"]]
    assert set(made[0].labels) == {("Rain", "Siren")}


def test_other_clips_labels_or_places_give_another_id():
    pairs = [(clip, TaggedClip(clip_id=clip.clip_id, labels=clip.labels)) for clip in CLIPS]
    other = [(clip, TaggedClip(clip_id=clip.clip_id, labels=("Rain", "Siren"))) for clip in CLIPS]
    made = [*separate_units(pairs, 3), *separate_units(pairs[1:], 3), *separate_units(other, 3)]
    assert len({unit.unit_id for unit in made}) == len(made)
    assert list(separate_units(pairs, 3)) == made[:3]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", Config())


def read(plan: Plan) -> list[WorkUnit]:
    return [unit for part in plan.parts for unit in plan.units(part)]


def test_a_plan_comes_back_as_it_was_written(workspace):
    made = list(tag_units(CLIPS, 2))
    plan = write_plan(workspace, 1, "tag", iter(made), count=4)
    assert open_plan(workspace, 1, "tag").parts == plan.parts
    assert read(plan) == made
    assert plan.unit_ids == [unit.unit_id for unit in made]
    assert plan.clips == 7
    assert len(plan.parts) == 4


def test_a_plan_has_a_bounded_number_of_parts(workspace, monkeypatch):
    monkeypatch.setattr(units, "MAX_PARTS", 2)
    made = list(tag_units(CLIPS, 2))
    plan = write_plan(workspace, 1, "tag", iter(made), count=len(made))
    assert len(plan.parts) == 2
    assert read(plan) == made


def test_a_plan_that_was_cut_off_is_none(workspace):
    def cut_off():
        yield from tag_units(CLIPS[:4], 2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_plan(workspace, 1, "tag", cut_off(), count=4)
    assert open_plan(workspace, 1, "tag") is None


@pytest.mark.parametrize(
    ("source", "asked"), [("labels", [("A", "B"), ("A",)]), ("both", [("A", "B"), ()]), ("label_free", [(), ()])]
)
def test_the_source_decides_which_labels_are_asked_for(source, asked):
    tags = [TaggedClip(clip_id="a", labels=("A", "B")), TaggedClip(clip_id="b", labels=("A",))]
    (unit,) = separate_units(zip(CLIPS[:2], tags, strict=True), 4, source=source)
    assert list(unit.labels) == asked
