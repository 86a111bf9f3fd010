"""The study of over-separation: same data for every variant, resumable, one table."""

import json

import pytest

from data_specs.errors import UserError
from data_specs.unconditional import TDCNConfig, UnconditionalTrainConfig
from pipeline.experiments.over_separation import COLUMNS, OverSeparationStudy, built_in_scenes, run_study, table

STUDY = OverSeparationStudy(
    variants={"none": 0.0, "rms_ratio": 30.0},
    seeds=(0,),
    training_scenes=3,
    scored_scenes=2,
    train=UnconditionalTrainConfig(
        steps=2,
        batch_size=2,
        duration_s=0.5,
        network=TDCNConfig(
            outputs=4, sample_rate_hz=8_000, window_length=128, hop_length=64, width=8, hidden=8, blocks=2
        ),
    ),
)


def test_every_variant_is_scored_and_a_second_call_goes_on_where_the_first_ended(tmp_path):
    results = run_study(STUDY, tmp_path)
    assert [(run["variant"], run["seed"]) for run in results["runs"]] == [("none", 0), ("rms_ratio", 0)]
    assert all(set(run["scores"]) == set(COLUMNS) for run in results["runs"])
    more = run_study(STUDY.model_copy(update={"seeds": (0, 1)}), tmp_path)
    assert more["runs"][:2] == results["runs"]
    assert len(more["runs"]) == 4
    assert json.loads((tmp_path / "results.json").read_text()) == more
    lines = table(more).splitlines()
    assert lines[0].startswith("| sparsity | single-source SI-SDR |")
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["none", "rms_ratio, weight 30"]


def test_other_settings_need_another_folder(tmp_path):
    run_study(STUDY.model_copy(update={"variants": {"none": 0.0}}), tmp_path)
    with pytest.raises(UserError, match="other settings"):
        run_study(STUDY, tmp_path)


def test_variants_differ_in_their_sparsity_loss_only():
    none, ratio = (STUDY.train_config(name) for name in STUDY.variants)
    assert none.sparsity_weight == 0
    assert (ratio.sparsity, ratio.sparsity_weight) == ("rms_ratio", 30)
    assert ratio.model_copy(update={"sparsity_weight": 0.0}) == none


def test_scenes_have_the_wanted_number_of_sources_and_purposes_share_none():
    scenes = built_in_scenes(STUDY, "multi", 6, 2, 3)
    assert {len(scene) for scene in scenes} == {2, 3}
    assert all(scene.shape[1] == 4000 for scene in scenes)
    assert not scenes[0].equal(built_in_scenes(STUDY, "train", 1, 2, 3)[0])
