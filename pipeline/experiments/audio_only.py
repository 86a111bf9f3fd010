"""The comparison of ``data-engine experiment audio-queries``: Table I of the paper in miniature.

One network learns one task, the paper's: mixtures of two sounds at -5 to 5 dB, asked for by a positive query alone, and
-SI-SDR as the loss. What differs is the query in training: the text of the target's label, the target's sound, or its
sound under one of six manipulations. All are tested with texts.

Tracks are few and as long as a window, so that a network soon knows each of them by its sound; this is the trouble that
manipulations are for. ``pipeline.experiments.families`` has another task (several interferers, absent labels, negative
queries), which a network of this size learns too slowly to get there.

Source: Saijo et al. 2024, sections II-C and IV, https://arxiv.org/abs/2409.13152.

Example::

    run_families(FamilyExperiment(families=USUAL), Path("out"), progress, AUDIO_QUERIES)
"""

from typing import Any

from data_specs.objectives import ManipulationKind
from pipeline.experiments.families import TINY_CONFORMER, TWO_SOUNDS, Family, QueriedFamily, changed
from pipeline.experiments.family_runs import Comparison
from pipeline.experiments.family_summary import FamilyReport

TASK = changed(TWO_SOUNDS, snr_db=(-5.0, 5.0))

REPORT = FamilyReport(
    columns={
        "pos_si_sdri_db": "SI-SDRi, asked by text",
        "pos_sound_si_sdri_db": "SI-SDRi, asked by sound",
        "last_loss": "loss at the end",
        "single_source_db": "single source",
    },
    drawn=("pos_si_sdri_db", "pos_sound_si_sdri_db"),
    differ_in="queries in training",
)


def _by_text(kind: ManipulationKind) -> QueriedFamily:
    what = "texts" if kind == "none" else f"texts with {kind}"
    return QueriedFamily(what, changed(TASK, text_query={"kind": kind}), TINY_CONFORMER)


def _by_sound(kind: ManipulationKind, what: str, **network: Any) -> QueriedFamily:
    train = changed(TASK, objectives={"audio_query": 1.0}, audio_query={"kind": kind})
    return QueriedFamily(f"sounds{what}", train, TINY_CONFORMER.model_copy(update=network))


AUDIO_ONLY: dict[str, Family] = {
    "text": _by_text("none"),
    "text-noise": _by_text("noise"),
    "text-dropout": _by_text("dropout"),
    "audio": _by_sound("none", " as they are"),
    "audio-mixup": _by_sound("mixup", ", another sound mixed in"),
    "audio-spec-augment": _by_sound("spec_augment", ", stripes of the spectrogram masked"),
    "audio-pca": _by_sound("pca", ", components of texts", query_projection="pca"),
    "audio-pca-inverse": _by_sound("pca_inverse", ", nearest to texts", query_projection="pca_inverse"),
    "audio-noise": _by_sound("noise", " with noise"),
    "audio-dropout": _by_sound("dropout", " with dropout"),
}
"""By name, in the order of the paper's table (A0 to A9)."""

AUDIO_QUERIES = Comparison("audio-queries", AUDIO_ONLY, REPORT)

USUAL = ("text", "audio", "audio-noise", "audio-dropout")
"""What is run where nothing else is asked for."""
