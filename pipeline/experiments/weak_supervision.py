"""The comparison of ``data-engine experiment weak-supervision``: what a judge adds to labelled mixtures.

One conformer learns to answer a positive text. ``mixtures-only`` is mix-and-separate of labelled mixtures (URL);
``weak`` has a frozen CLAP judge what single labels bring out (CNT) and keeps their sum (CRL), with the paper's weights;
``weak-no-crl`` judges alone, since the sum is also kept where every label brings out an equal share of everything.

In scenes of the command's default, every label has a companion and is only heard together with it. What is always
heard together, mixtures cannot teach to tell apart: a judge can. Where labels are drawn independently, "A" is heard
with B and without, and mixtures alone teach what it means.

Source: Mahmud et al. 2024, https://arxiv.org/abs/2404.01740.

Example::

    run_families(FamilyExperiment(families=tuple(WEAKLY), paired=True), Path("out"), progress, WEAK_SUPERVISION)
"""

from data_specs.objectives import WeakConfig
from pipeline.experiments.families import TINY_CONFORMER, TWO_SOUNDS, Family, QueriedFamily, changed
from pipeline.experiments.family_runs import Comparison
from pipeline.experiments.family_summary import FamilyReport

REPORT = FamilyReport(
    columns={
        "pos_sdri_db": "SDRi",
        "pos_si_sdri_db": "SI-SDRi",
        "right_source": "share of labels that bring out their own source",
        "single_source_db": "single source",
    },
    drawn=("pos_si_sdri_db", "single_source_db"),
    differ_in="knows of the scenes",
)


def _weak(what: str, **weights: float) -> QueriedFamily:
    weak = WeakConfig.model_validate({"asked": 1, **weights})
    return QueriedFamily(what, changed(TWO_SOUNDS, objectives={"weak": 1.0}, weak=weak.model_dump()), TINY_CONFORMER)


WEAKLY: dict[str, Family] = {
    "supervised": QueriedFamily("tracks and labels", TWO_SOUNDS, TINY_CONFORMER),
    "mixtures-only": _weak(
        "labels; mix-and-separate of mixtures (URL)", contrastive_weight=0.0, consistency_weight=0.0
    ),
    "weak": _weak("labels; 0.5 CNT + 5 CRL + 5 URL"),
    "weak-no-crl": _weak("labels; CNT + 5 URL", contrastive_weight=1.0, consistency_weight=0.0),
}
"""By name, in the order of the table."""

WEAK_SUPERVISION = Comparison("weak-supervision", WEAKLY, REPORT)
