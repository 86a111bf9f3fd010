"""Clips from night to night: they follow the corpus, rows keep their place, and recordings keep their side."""

from collections import Counter

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip
from pipeline import intake
from pipeline.intake import GONE, hold_out, take_in
from pipeline.ledger import STAGES
from pipeline.progress import NO_PROGRESS
from pipeline.takedown import WITHDRAWN, take_down
from pipeline.workspace import Workspace


class Corpus:
    """A clip list whose recordings come and go."""

    def __init__(self, folder, name):
        self.folder, self.path, self.rows = folder, folder / f"{name}.csv", {}

    def add(self, name, labels, *, there=True, seed=None):
        if there:
            samples = 0.1 * np.random.default_rng(hash(name) % 1000 if seed is None else seed).normal(size=8000)
            soundfile.write(self.folder / name, samples, 8000)
        self.rows[name] = labels
        self.write()

    def remove(self, name):
        del self.rows[name]
        self.write()

    def write(self):
        lines = [f"{name},{labels}" for name, labels in self.rows.items()]
        self.path.write_text("\n".join(["path,labels", *lines]) + "\n")


@pytest.fixture
def natural(tmp_path):
    corpus = Corpus(tmp_path, "natural")
    for number in range(3):
        corpus.add(f"natural{number}.wav", "Rain;Bark", seed=number)
    return corpus


@pytest.fixture
def single(tmp_path):
    corpus = Corpus(tmp_path, "single")
    for number in range(12):
        corpus.add(f"single{number}.wav", ("Rain", "Bark", "Siren")[number % 3], seed=100 + number)
    return corpus


@pytest.fixture
def config(natural, single):
    corpora = {
        key: {"kind": "clip_list", "path": str(one.path)}
        for key, one in (("corpus", natural), ("single_source", single))
    }
    return Config.model_validate({**corpora, "audio": {"sample_rate_hz": 8000}})


@pytest.fixture
def night(tmp_path, config):
    """Take the corpora in; ``finish`` finishes a round first."""

    def run(*, finish=0) -> Workspace:
        workspace = Workspace(tmp_path / "w")
        if finish:
            state = workspace.round_state(finish).having(config=config.model_dump(mode="json"))
            for stage in STAGES:
                state = state.with_stage(stage, seconds=0.0)
            workspace.write_round_state(state)
        return take_in(str(tmp_path / "w"), config, NO_PROGRESS)

    return run


def rows(workspace, clip_set="natural"):
    return [
        (clip.path.rsplit("/", 1)[1], clip.outcome, clip.reason, clip.since_round) for clip in workspace.clips(clip_set)
    ]


def test_a_new_clip_is_ingested_at_the_next_round_and_rows_keep_their_place(night, natural):
    first = night().clips("natural")
    natural.rows = {"new.wav": "Rain;Siren", **natural.rows}
    natural.add("new.wav", "Rain;Siren", seed=9)
    second = night(finish=1).clips("natural")
    assert second[:3] == first
    assert rows(Workspace(night().uri))[3:] == [("new.wav", "kept", "", 2)]


def test_a_round_that_was_cut_off_goes_on_with_its_clips(night, natural, config):
    workspace = night()
    workspace.write_round_state(workspace.round_state(1).having(config=config.model_dump(mode="json")))
    natural.add("new.wav", "Rain;Siren", seed=9)
    assert len(night().clips("natural")) == 3
    assert len(night(finish=1).clips("natural")) == 4


def test_a_round_that_was_set_aside_does_not_hold_the_corpus_back(night, natural, config):
    workspace = night()
    other = config.model_copy(update={"train": config.train.model_copy(update={"steps": 7})})
    begun = workspace.round_state(1).having(config=other.model_dump(mode="json"), finished_before=0)
    workspace.write_round_state(begun)
    natural.add("new.wav", "Rain;Siren", seed=9)
    assert rows(night())[3:] == [("new.wav", "kept", "", 2)]


def test_a_recording_that_was_missing_takes_its_place_when_it_comes(night, natural):
    natural.add("late.wav", "Rain;Bark", there=False)
    natural.add("last.wav", "Rain;Bark", seed=8)
    assert rows(night())[3:] == [("late.wav", "dropped", "missing file", 1), ("last.wav", "kept", "", 1)]
    natural.add("late.wav", "Rain;Bark", seed=9)
    assert rows(night(finish=1))[3:] == [("late.wav", "kept", "", 2), ("last.wav", "kept", "", 1)]


def test_a_recording_that_is_listed_no_more_is_dropped_and_comes_back(night, natural):
    night()
    natural.remove("natural1.wav")
    assert rows(night(finish=1))[1] == ("natural1.wav", "dropped", GONE, 1)
    natural.add("natural1.wav", "Rain;Bark", seed=1)
    assert rows(night(finish=2))[1] == ("natural1.wav", "kept", "", 1)


def test_a_withdrawn_recording_stays_withdrawn_when_the_corpus_lists_it_no_more(night, natural, config, tmp_path):
    (tmp_path / "takedown.csv").write_text("path\nnatural1.wav\n")
    withdrawing = config.model_copy(update={"takedown": str(tmp_path / "takedown.csv")})
    assert take_down(night(), withdrawing, NO_PROGRESS) == 1
    natural.remove("natural1.wav")
    assert take_down(night(finish=1), withdrawing, NO_PROGRESS) == 0  # not again every night
    natural.add("natural1.wav", "Rain;Bark", seed=1)
    assert rows(night(finish=2))[1] == ("natural1.wav", "dropped", WITHDRAWN, 1)


def test_corrected_labels_are_taken_over_in_place(night, natural):
    night()
    natural.add("natural1.wav", "Rain;Siren", seed=1)
    clips = night(finish=1).clips("natural")
    assert [clip.labels for clip in clips] == [("Rain", "Bark"), ("Rain", "Siren"), ("Rain", "Bark")]
    assert len({clip.clip_id for clip in clips}) == 3


def test_audio_that_is_there_already_under_another_name_is_dropped(night, natural):
    night()
    natural.add("copy.wav", "Rain;Bark", seed=1)
    assert rows(night(finish=1))[3] == ("copy.wav", "dropped", "same audio as an earlier clip", 2)


def test_an_unchanged_corpus_is_not_read_again(night, natural, tmp_path):
    night()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "w" / "clips").iterdir()}
    (tmp_path / "natural1.wav").write_bytes(b"damaged since")
    night(finish=1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "w" / "clips").iterdir()} == before


def test_a_corpus_that_is_gone_is_told_and_changes_nothing(night, natural):
    workspace = night()
    natural.path.unlink()
    with pytest.raises(UserError, match=r"no file .*natural.csv"):
        night(finish=1)
    assert len(workspace.kept_clips("natural")) == 3


def test_an_ingest_that_is_cut_off_continues_where_it_stopped(night, natural, monkeypatch):
    monkeypatch.setattr(intake, "_BATCH_ENTRIES", 2)
    ingested = []
    original = intake.ingest_listed

    def counting(batch, *arguments, **options):
        if len(ingested) >= 2:
            raise KeyboardInterrupt
        ingested.extend(one.entry.path for one in batch)
        return original(batch, *arguments, **options)

    monkeypatch.setattr(intake, "ingest_listed", counting)
    with pytest.raises(KeyboardInterrupt):
        night()
    monkeypatch.setattr(intake, "ingest_listed", original)
    assert [name for name, *_ in rows(night())] == ["natural0.wav", "natural1.wav", "natural2.wav"]


def test_recordings_stay_on_their_side_and_new_ones_are_shared_out(night, single):
    first = night()
    sides = {clip.path: clip.split for clip in first.kept_clips("single_source")}
    for number in range(12, 24):
        single.add(f"single{number}.wav", ("Rain", "Bark", "Siren")[number % 3], seed=100 + number)
    second = night(finish=1)
    assert {clip.path: clip.split for clip in second.kept_clips("single_source") if clip.path in sides} == sides
    assert Counter(clip.labels[0] for clip in second.held_out_clips()) == dict.fromkeys(("Rain", "Bark", "Siren"), 2)


def test_a_second_recording_of_a_label_is_held_out():
    old = Clip(clip_id="a" * 16, path="a.wav", labels=("Rain",), duration_s=1.0)
    new = Clip(clip_id="b" * 16, path="b.wav", labels=("Rain",), duration_s=1.0)
    assert [clip.split for clip in hold_out([old, new], 0.2, sides={"a.wav": ""})] == ["", "held_out"]


def test_built_in_soundscapes_can_be_rendered_into_a_bucket(s3):
    builtin = {"kind": "builtin", "count": 90}
    config = Config.model_validate(
        {
            "corpus": {**builtin, "count": 2},
            "single_source": builtin,
            "audio": {"clip_duration_s": 0.5, "sample_rate_hz": 8000},
        }
    )
    workspace = take_in(f"{s3}/w", config, NO_PROGRESS)
    assert [clip.outcome for clip in workspace.clips("natural")] == ["kept", "kept"]
    assert all(clip.path.startswith(f"{s3}/w/builtin/natural/") for clip in workspace.clips("natural"))
