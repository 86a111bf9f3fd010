"""Takedowns: what an owner withdraws leaves every place of a workspace, once, and all figures still add up."""

import numpy as np
import pytest

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip, StageCounts, TaggedClip, Track
from pipeline.shards import ShardItem, iter_round, shard_bytes, verify_round, without_clips
from pipeline.takedown import WITHDRAWN, _leave_unit, take_down
from pipeline.tallies import tally_round
from pipeline.units import open_plan, separate_units, tag_units, write_plan
from pipeline.workspace import Workspace

LABELS = ("Rain", "Bark")


class Told:
    """What a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def an_item(clip: Clip, unit: str = "") -> ShardItem:
    waveforms = 0.1 * np.random.default_rng(int(clip.clip_id, 16)).normal(size=(2, 800)).astype(np.float32)
    tracks = [
        Track(
            track_id=f"{clip.clip_id}-{index}",
            clip_id=clip.clip_id,
            label=label,
            index=index,
            duration_s=0.1,
            unit=unit,
            tier="sst",
            shard=f"{unit}.tar",
        )
        for index, label in enumerate(LABELS)
    ]
    return ShardItem(clip, waveforms.sum(axis=0), tracks, waveforms)


@pytest.fixture
def config(tmp_path) -> Config:
    return Config(takedown=str(tmp_path / "takedown.csv"))


@pytest.fixture
def workspace(tmp_path, config) -> Workspace:
    """A round of five clips in units of two, tagged and separated, every track kept."""
    workspace = Workspace.open(tmp_path / "workspace", config)
    clips = [Clip(clip_id=f"{n:016x}", path=f"/field/day{n // 3}/{n}.wav", labels=LABELS) for n in range(5)]
    workspace.write_clips("natural", clips)
    workspace.write_clips("single_source", [Clip(clip_id="single", path="/studio/bark.wav", labels=LABELS[1:])])
    plan = write_plan(workspace, 1, "tag", tag_units(clips, 2), count=3)
    tags = {clip.clip_id: TaggedClip(clip_id=clip.clip_id, labels=LABELS, scores=(1.0, 1.0)) for clip in clips}
    for unit in (unit for part in plan.parts for unit in plan.units(part)):
        workspace.commit_tags(1, unit.unit_id, [tags[clip.clip_id] for clip in unit.clips])
    plan = write_plan(
        workspace, 1, "separate", separate_units(((clip, tags[clip.clip_id]) for clip in clips), 2), count=3
    )
    for unit in (unit for part in plan.parts for unit in plan.units(part)):
        items = [an_item(clip, unit.unit_id) for clip in unit.clips]
        rows = [track for item in items for track in item.tracks]
        workspace.commit_unit(1, unit.unit_id, rows, shard_bytes(items, sample_rate_hz=8000))
    tally = tally_round(workspace, 1)
    state = workspace.round_state(1).having(config=config.model_dump(mode="json"))
    state = state.with_stage("tag", seconds=1.0, counts={"ingest": StageCounts.of(clips), "tag": StageCounts.of(clips)})
    state = state.with_stage("separate", seconds=1.0, counts={"separate": tally.clips, "gate": tally.tracks})
    workspace.write_round_state(state)
    return workspace


def withdraw(config: Config, *paths: str) -> None:
    with open(config.takedown, "w") as file:
        file.write("\n".join(["path", *paths]) + "\n")


def test_a_withdrawn_clip_leaves_clips_plans_tags_manifest_and_shards(workspace, config):
    withdraw(config, "/field/day0/1.wav", "day1/4.wav")
    told = Told()
    assert take_down(workspace, config, told) == 2
    assert told.lines == ["Withdrawn by their owners: 2 clips. 4 tracks left shards and manifests."]
    left = [f"{n:016x}" for n in (0, 2, 3)]
    assert [clip.clip_id for clip in workspace.kept_clips("natural")] == left
    assert {clip.reason for clip in workspace.clips("natural")} == {"", WITHDRAWN}
    for stage in ("tag", "separate"):
        plan = open_plan(workspace, 1, stage)
        assert plan.clips == 3
        assert [clip.clip_id for part in plan.parts for unit in plan.units(part) for clip in unit.clips] == left
    assert [tag.clip_id for tag in workspace.tags(1)] == left
    assert sorted({track.clip_id for track in workspace.tracks(1)}) == left
    assert [sample.meta.clip_id for sample in iter_round(workspace, 1)] == left
    assert len(workspace.shards(1)) == 2  # nothing is left of the third
    assert verify_round(workspace, 1) == []


def test_the_counts_of_the_round_still_add_up_and_say_why(workspace, config):
    withdraw(config, "1.wav")
    take_down(workspace, config, Told())
    withdraw(config, "1.wav", "4.wav")
    take_down(workspace, config, Told())
    counts = workspace.round_state(1).counts
    assert counts["ingest"] == StageCounts(inputs=5, kept=3, dropped=2, reasons={WITHDRAWN: 2})
    assert counts["tag"].inputs == counts["ingest"].kept
    assert counts["separate"].inputs == counts["tag"].kept == 3
    assert counts["gate"].inputs == sum(workspace.round_state(1).tiers.values()) == 6


def test_a_second_call_finds_nothing_to_do_and_one_that_was_cut_off_is_made_good(workspace, config, monkeypatch):
    withdraw(config, "1.wav", "studio/bark.wav")
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "write_clips", lambda *args: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space left"):
            take_down(workspace, config, Told())
    assert take_down(workspace, config, Told()) == 2
    assert workspace.training_clips() == []
    assert workspace.round_state(1).counts["ingest"].reasons == {WITHDRAWN: 1}
    assert verify_round(workspace, 1) == []
    assert take_down(workspace, config, Told()) == 0


@pytest.mark.parametrize("flipped", [True, False])
def test_a_damaged_shard_gets_no_new_checksum_but_a_line_that_says_what_to_do(workspace, config, flipped):
    folder = workspace.round_storage(1).local_path
    unit_id = next(track.unit for track in workspace.tracks(1) if track.clip_id == f"{1:016x}")
    shard, part = folder / "shards" / f"{unit_id}.tar", folder / "tracks" / f"{unit_id}.parquet"
    whole = shard.read_bytes()
    place = whole.index(b"fLaC") + 100
    shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] if flipped else whole[:3000])
    withdraw(config, "1.wav")
    with pytest.raises(UserError, match=rf"{unit_id}.tar is damaged .*: delete it and \S+{unit_id}.parquet, then run"):
        take_down(workspace, config, Told())
    assert part.is_file()
    shard.unlink()
    part.unlink()
    assert take_down(workspace, config, Told()) == 1
    assert verify_round(workspace, 1) == []


def test_a_call_that_was_cut_off_between_shard_and_manifest_is_made_good(workspace, config, monkeypatch):
    withdraw(config, "1.wav")
    unit_id = next(track.unit for track in workspace.tracks(1) if track.clip_id == f"{1:016x}")
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.workspace.write_records", lambda *args, **told: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            _leave_unit(workspace, 1, unit_id, {f"{1:016x}"})
    assert verify_round(workspace, 1) != []
    assert take_down(workspace, config, Told()) == 1
    assert verify_round(workspace, 1) == []


def test_a_line_that_names_nothing_is_said_but_not_one_of_what_was_withdrawn_before(workspace, config):
    withdraw(config, "1.wav", "storm.ogg", "studio/bark.wav")
    told = Told()
    assert take_down(workspace, config, told) == 2
    assert told.lines[0] == "1 line of takedown.csv names no recording of this workspace: storm.ogg"
    withdraw(config, "1.wav", *(f"storm{number}.ogg" for number in range(5)), "./studio/bark.wav")
    told = Told()
    assert take_down(workspace, config, told) == 0
    lost = "storm0.ogg, storm1.ogg, storm2.ogg and 2 more"
    assert told.lines == [f"5 lines of takedown.csv name no recording of this workspace: {lost}"]


def test_an_end_of_a_name_is_no_end_of_a_path(workspace, config):
    withdraw(config, ".wav", "ay0/1.wav")
    assert take_down(workspace, config, Told()) == 0


def test_a_shard_without_a_clip_is_the_one_that_is_written_without_it():
    items = [an_item(Clip(clip_id=f"{n:016x}", path="x.wav", labels=LABELS), "u") for n in range(3)]
    whole, wanted = (shard_bytes(some, sample_rate_hz=8000) for some in (items, [items[0], items[2]]))
    assert without_clips(whole, {items[1].clip.clip_id}) == wanted
    assert without_clips(whole, {item.clip.clip_id for item in items}) is None
    assert without_clips(whole, set()) == whole
