"""Tagging: given labels win, a tagger decides for the others, and every clip has one outcome."""

import os

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_specs.config import Config, TagConfig
from data_specs.labels import label_table
from data_specs.records import Clip, CorpusEntry, StageCounts
from pipeline.ingest import ingest
from pipeline.tag import labels_above, tag_clips

RATE = 32_000
CONFIG = Config(tag=TagConfig(threshold=0.5, labels_max=3))
TABLE = label_table()
TONES_HZ = {"Rain": 500, "Bark": 1000, "Dog": 1000, "Siren": 2000, "Engine": 4000}


class ToneTagger:
    """Hears a label where its tone holds a large share of the energy: a function of the waveform alone."""

    source = "panns"

    def scores(self, waveforms: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(waveforms).abs().square()  # (B, F)
        power = power / power.sum(dim=1, keepdim=True)
        bin_hz = RATE / waveforms.shape[1]
        scores = torch.zeros(len(waveforms), len(TABLE))
        for label, tone_hz in TONES_HZ.items():
            centre = round(tone_hz / bin_hz)
            scores[:, TABLE.index(label)] = (2 * power[:, centre - 5 : centre + 6].sum(dim=1)).clamp(max=1)
        return scores


class BrokenTagger:
    source = "panns"

    def scores(self, waveforms: torch.Tensor) -> torch.Tensor:
        return torch.full((len(waveforms), len(TABLE)), float("nan"))


def never():
    raise AssertionError("the tagger must not be loaded")


def clips_of(folder, *recordings):
    """Ingested clips of recordings that are tones of the given frequencies and levels, with the given labels."""
    entries = []
    for number, (tones, labels) in enumerate(recordings):
        time_s = np.arange(RATE + number) / RATE
        waveform = sum((level * np.sin(2 * np.pi * hz * time_s) for hz, level in tones), np.zeros(len(time_s)))
        path = folder / f"{number}.wav"
        soundfile.write(path, waveform, RATE)
        entries.append(CorpusEntry(path=str(path), labels=labels))
    return ingest(entries, CONFIG)


def summary(row):
    return row.outcome, row.reason, row.labels, row.source


def test_given_labels_win_and_the_tagger_is_not_loaded(tmp_path):
    clips = clips_of(tmp_path, ([(500, 0.3)], ("Animal", "Rain", "Dog", "Bark")), ([(700, 0.3)], ("Dog", "Bark")))
    first, second = tag_clips(clips, CONFIG, never)
    assert summary(first) == ("kept", "", ("Rain", "Bark"), "corpus")
    assert first.scores == (1.0, 1.0)
    assert summary(second) == ("dropped", "one label", ("Bark",), "corpus")
    assert [row.clip_id for row in (first, second)] == [clip.clip_id for clip in clips]


def test_a_tagger_decides_where_no_label_was_given(tmp_path):
    clips = clips_of(
        tmp_path,
        ([(500, 0.3), (1000, 0.2)], ()),
        ([(1000, 0.3)], ()),
        ([(6000, 0.3)], ()),
        ([(500, 0.3)], ("Rain", "Siren")),
    )
    loads = []

    def load():
        loads.append(1)
        return ToneTagger()

    rows = tag_clips(clips, CONFIG, load)
    assert [summary(row) for row in rows] == [
        ("kept", "", ("Rain", "Bark"), "panns"),
        ("dropped", "one label", ("Bark",), "panns"),
        ("dropped", "no label above threshold", (), "panns"),
        ("kept", "", ("Rain", "Siren"), "corpus"),
    ]
    assert len(rows[0].scores) == 2
    assert all(0.5 <= score <= 1 for score in rows[0].scores)
    assert loads == [1]
    assert tag_clips(clips, CONFIG, ToneTagger) == rows


def test_a_clip_has_the_same_labels_in_any_company(tmp_path):
    clips = clips_of(tmp_path, *([([(500, 0.3), (1000 + 1000 * (n % 2), 0.2)], ()) for n in range(4)]))
    together = tag_clips(clips, CONFIG, ToneTagger)
    assert [tag_clips([clip], CONFIG, ToneTagger)[0] for clip in clips] == together
    assert tag_clips(clips[::-1], CONFIG, ToneTagger) == together[::-1]


def test_what_cannot_be_heard_fails_with_its_reason_and_counts_add_up(tmp_path):
    clips = clips_of(tmp_path, ([(500, 0.3), (1000, 0.2)], ()), ([(500, 0.3), (2000, 0.2)], ()), ([(700, 0.3)], ()))
    os.unlink(clips[1].path)
    with open(clips[2].path, "w") as stream:
        stream.write("no longer audio")
    rows = tag_clips(clips, CONFIG, ToneTagger)
    assert StageCounts.of(rows) == StageCounts(inputs=3, kept=1, failed=2, reasons={"missing file": 1, "not audio": 1})


def test_a_tagger_without_finite_scores_fails_the_clip(tmp_path):
    (row,) = tag_clips(clips_of(tmp_path, ([(500, 0.3)], ())), CONFIG, BrokenTagger)
    assert (row.outcome, row.reason) == ("failed", "tagger gave no finite scores")


def test_clips_that_ingest_did_not_keep_are_no_inputs(tmp_path):
    dropped = Clip(clip_id="a", path="gone.wav", outcome="dropped", reason="missing file")
    clips = [dropped, *clips_of(tmp_path, ([(500, 0.3)], ("Rain", "Bark")))]
    assert len(tag_clips(clips, CONFIG, never)) == 1


def test_clips_of_equal_length_are_scored_together(tmp_path):
    clips = clips_of(tmp_path, *[([(500, 0.3)], ()) for _ in range(3)])
    same = [clip.model_copy(update={"path": clips[0].path, "clip_id": str(n)}) for n, clip in enumerate(clips * 2)]
    sizes = []

    class Counting(ToneTagger):
        def scores(self, waveforms: torch.Tensor) -> torch.Tensor:
            sizes.append(len(waveforms))
            return super().scores(waveforms)

    for limit in ({"batch_clips": 4}, {"batch_s": 4.5}):
        sizes.clear()
        config = CONFIG.model_copy(update={"tag": CONFIG.tag.model_copy(update=limit)})
        assert len(tag_clips([*same, clips[1]], config, Counting)) == 7
        assert sorted(sizes) == [1, 2, 4]


def test_a_batch_that_memory_is_too_short_for_is_heard_by_halves(tmp_path):
    (clip,) = clips_of(tmp_path, ([(500, 0.3)], ()))
    same = [clip.model_copy(update={"clip_id": str(n)}) for n in range(5)]
    sizes = []

    class Greedy(ToneTagger):
        def scores(self, waveforms: torch.Tensor) -> torch.Tensor:
            sizes.append(len(waveforms))
            if len(waveforms) > 2:
                torch.empty(1 << 60)  # more than any machine has
            return super().scores(waveforms)

    assert tag_clips(same, CONFIG, Greedy) == tag_clips(same, CONFIG, ToneTagger)
    assert sizes == [5, 2, 3, 1, 2]


def test_a_clip_that_was_given_up_is_not_heard(tmp_path):
    clips = clips_of(tmp_path, ([(500, 0.3)], ()), ([(700, 0.3)], ("Rain", "Bark")))

    class Untouched(ToneTagger):
        def scores(self, waveforms: torch.Tensor) -> torch.Tensor:
            raise AssertionError("the clip must not be heard")

    given_up = {clips[0].clip_id: "the worker process died of it, 3 times"}
    rows = tag_clips(clips, CONFIG, Untouched, given_up=given_up)
    assert [row.reason for row in rows] == ["the worker process died of it, 3 times", ""]


def test_the_best_labels_come_first_and_only_so_many():
    scores = np.zeros(len(TABLE), np.float32)
    for label, score in {"Rain": 0.6, "Animal": 0.99, "Bark": 0.7, "Siren": 0.9, "Engine": 0.8}.items():
        scores[TABLE.index(label)] = score
    assert labels_above(scores, CONFIG.tag) == ("Siren", "Engine", "Bark")


@given(st.lists(st.tuples(st.sampled_from(TABLE.names), st.floats(0, 1)), max_size=20), st.integers(1, 5))
@settings(deadline=None)
def test_labels_of_a_tagger_are_unrelated_and_above_the_threshold(scored, labels_max):
    scores = np.zeros(len(TABLE))
    for label, score in scored:
        scores[TABLE.index(label)] = score
    labels = labels_above(scores, TagConfig(threshold=0.5, labels_max=labels_max))
    assert len(labels) <= labels_max
    assert all(scores[TABLE.index(label)] >= 0.5 for label in labels)
    assert not any(TABLE.related(a, b) for a in labels for b in labels if a != b)


def test_scores_of_a_wrong_shape_are_a_fault_and_no_outcome():
    with pytest.raises(ValueError, match=r"a tagger must give 527 scores for a clip, got shape \(3,\)"):
        labels_above(np.zeros(3), CONFIG.tag)


@pytest.mark.parametrize(("source", "heard"), [("label_free", ()), ("both", ("Bark",))])
def test_clips_that_are_separated_without_labels_need_none(tmp_path, source, heard):
    clips = clips_of(tmp_path, ([(1000, 0.1)], ()), ([(500, 0.1)], ("Rain",)))
    separate = {"source": source, "unconditional": "folder"}
    config = Config.model_validate({**CONFIG.model_dump(), "separate": separate})
    unheard, given = tag_clips(clips, config, never if source == "label_free" else ToneTagger)
    assert (unheard.outcome, unheard.labels) == ("kept", heard)
    assert (given.outcome, given.labels) == ("kept", ("Rain",))
