"""The comparison of families at tiny size: runs that are there are not done again, table and figure hold them all."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch
from pydantic import ValidationError

from data_specs.config import Config, TrainConfig
from data_specs.errors import UserError
from data_specs.extractors import ConformerConfig
from data_specs.unconditional import TDCNConfig, UnconditionalTrainConfig
from models.checkpoints import load_clap
from models.label_separator import LabelSeparator
from models.query_encoders import TinyClapEncoder
from models.tdcn import TDCN
from pipeline.experiments.families import FAMILIES, HandedOut, MixitFamily, QueriedFamily, untrained
from pipeline.experiments.family_material import family_scenes
from pipeline.experiments.family_runs import Comparison, FamilyExperiment, SourcesAsTexts, by_sound, run_families
from pipeline.experiments.timed import measure_statistics, rate_share, train_for
from pipeline.metrics import si_sdri_db
from pipeline.scoring import EvalMixture, EvalTarget

ONE_SECOND = Config.model_validate({"audio": {"clip_duration_s": 1.0}})
SMALL_NETWORK = ConformerConfig(window_s=1.0, overlap_s=0.1, width=16, blocks=1)
SMALL_TDCN = TDCNConfig(outputs=3, width=16, hidden=16, blocks=1, repeats=1)
SMALL_FAMILIES = {
    "text": QueriedFamily("tracks and labels", TrainConfig(batch_size=1), SMALL_NETWORK),
    "weak": QueriedFamily("labels", TrainConfig(batch_size=1, objectives={"weak": 1.0}), SMALL_NETWORK),
    "sounds": QueriedFamily("tracks", TrainConfig(batch_size=1, objectives={"audio_query": 1.0}), SMALL_NETWORK),
    "mixit": MixitFamily("nothing", UnconditionalTrainConfig(network=SMALL_TDCN, batch_size=1, duration_s=1.0)),
}
SMALL_COMPARISON = Comparison("small", SMALL_FAMILIES)
SMALL = FamilyExperiment(
    families=tuple(SMALL_FAMILIES), seeds=1, minutes=0.001, train_scenes=8, test_scenes=2, duration_s=1.0
)


@pytest.fixture(scope="module")
def encoder():
    return TinyClapEncoder(load_clap("embedded"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("families")
    run_families(SMALL, out, comparison=SMALL_COMPARISON)
    return out


def test_every_family_is_run_and_measured(finished):
    runs = json.loads((finished / "results.json").read_text())["runs"]
    assert [(run["family"], run["seed"]) for run in runs] == [(name, 0) for name in SMALL_FAMILIES]
    for run in runs:
        assert run["steps"] >= 1
        assert run["parameters"] > 0
        assert run["seconds"] >= 0.06
        measures = ("sdri_db", "si_sdri_db", "pos_sdri_db", "pos_si_sdri_db", "silence_sdr_db", "single_source_db")
        assert all(math.isfinite(run[name]) for name in measures)
        assert (run["sound_si_sdri_db"] is None) == (run["family"] == "mixit")


def test_table_and_figure_hold_every_family(finished):
    table = (finished / "table.md").read_text()
    figure = (finished / "families.svg").read_text()
    for name, family in SMALL_FAMILIES.items():
        assert f"| {name} | {family.what} |" in table
    assert "1 seed;" in table
    assert figure.lstrip().startswith("<?xml")


def test_runs_that_are_there_are_not_done_again_and_more_seeds_add_to_them(finished):
    before = json.loads((finished / "results.json").read_text())["runs"]
    more = SMALL.model_copy(update={"seeds": 2, "families": ("text",)})
    runs = run_families(more, finished, comparison=SMALL_COMPARISON)["runs"]
    assert runs[: len(before)] == before
    assert [(run["family"], run["seed"]) for run in runs[len(before) :]] == [("text", 1)]
    assert "±" in (finished / "table.md").read_text()


def test_another_experiment_or_an_unknown_family_is_refused(finished):
    with pytest.raises(UserError, match="another minutes: give another --out"):
        run_families(SMALL.model_copy(update={"minutes": 1.0}), finished, comparison=SMALL_COMPARISON)
    with pytest.raises(UserError, match="another comparison: give another --out"):
        run_families(SMALL, finished, comparison=Comparison("other", SMALL_FAMILIES))
    with pytest.raises(UserError, match="no family 'week': the families are supervised, "):
        run_families(SMALL.model_copy(update={"families": ("week",)}), finished)


def test_scenes_of_a_list_train_and_test_on_the_splits_that_are_named(tmp_path):
    lines = ["path,labels,split"]
    for i, label in enumerate(["Bark", "Rain", "Siren", "Chime"] * 2):
        samples = 0.3 * np.sin(2 * np.pi * (20 * i + (200 if i < 4 else 2000)) * np.arange(32_000) / 32_000)
        soundfile.write(tmp_path / f"{i}.wav", samples, 32_000)
        lines.append(f"{i}.wav,{label},{'low' if i < 4 else 'high'}")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    scenes = family_scenes(
        str(tmp_path / "clips.csv"),
        ONE_SECOND,
        train=3,
        test=2,
        train_splits=["low"],
        test_splits=["high"],
    )
    assert len(scenes.mixtures) == 3
    assert len(scenes.tracks) == len(scenes.sounds) == sum(len(scenes.mixtures.texts(i)) for i in range(3))
    assert max(_pitch_hz(track.waveform) for track in scenes.tracks) < 1000
    assert min(_pitch_hz(target.waveform.numpy()) for one in scenes.test for target in one.targets) > 1000
    for single in scenes.singles:
        (target,) = single.targets
        assert torch.equal(single.mixture, target.waveform)
    assert all(one.absent_label not in [target.label for target in one.targets] for one in scenes.test)


def _pitch_hz(waveform: np.ndarray) -> float:
    """The loudest frequency of one second at 32 kHz."""
    return float(np.argmax(np.abs(np.fft.rfft(waveform))))


def test_splits_of_a_list_have_to_be_named_and_to_differ():
    with pytest.raises(ValidationError, match="name the splits"):
        FamilyExperiment(sources="clips.csv")
    with pytest.raises(ValidationError, match="not for both"):
        FamilyExperiment(sources="clips.csv", train_splits=("a",), test_splits=("a",))


def test_estimates_of_an_unconditional_separator_are_handed_out_once(encoder):
    separator = HandedOut(TDCN(SMALL_TDCN), encoder)
    mixture = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    labels = ["Bark", "Rain", "Siren"]
    (tracks,) = separator.separate_batch(mixture, [labels])
    with torch.inference_mode():
        estimates = separator.model(mixture)[0]
    torch.testing.assert_close(tracks.sum(dim=0), estimates.sum(dim=0), atol=1e-5, rtol=1e-4)
    (alone,) = separator.separate_batch(mixture, [["Bark"]], negatives=[[[]]])
    assert any(torch.allclose(alone[0], estimate, atol=1e-6) for estimate in estimates)


def test_asked_by_sound_a_separator_hears_the_sources_at_one_level_and_no_text(encoder):
    rng = torch.Generator().manual_seed(0)
    bark, rain = 0.1 * torch.randn(2, 32_000, generator=rng)
    targets = (EvalTarget("Bark", bark), EvalTarget("Rain", 3 * rain))
    mixture = EvalMixture("one", bark + 3 * rain, targets)
    asking = SourcesAsTexts(encoder, mixture)
    heard = encoder.embed_audio(torch.stack([rain, bark]))
    torch.testing.assert_close(asking.embed_text(["source 1", "source 0"]), heard, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(asking.embed_text(["Rain"]), encoder.embed_text(["Rain"]))  # a text stays one
    separator = LabelSeparator(untrained(SMALL_NETWORK, encoder, seed=0), encoder, "untrained")
    assert by_sound(separator, encoder, [mixture]) != pytest.approx(
        float(
            si_sdri_db(
                separator.separate(mixture.mixture, ["Bark", "Rain"]),
                torch.stack([bark, 3 * rain]),
                mixture.mixture.expand(2, -1),
            ).mean()
        ),
        abs=1e-4,
    )


def test_a_timed_training_lasts_as_long_as_it_should_and_learns():
    model = torch.nn.Linear(4, 1)
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    done = train_for(model, lambda: (model(x) - x.sum(1, keepdim=True)).square().mean(), learning_rate=0.1, seconds=1)
    assert done.seconds == pytest.approx(1, abs=0.3)
    assert done.losses[-1] < 0.1 * done.losses[0]
    assert len(done.losses) == done.steps > 10


def test_statistics_of_a_short_training_are_measured_on_what_the_network_hears_now():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2, momentum=0.01), torch.nn.Linear(2, 1))
    generator = torch.Generator().manual_seed(0)

    def step_loss():
        return model(torch.tensor([3.0, -1.0]) + 2.0 * torch.randn(64, 2, generator=generator)).mean()

    for _ in range(20):
        step_loss()
    assert model[0].running_mean[0] < 1  # still near where it began
    weights = model[1].weight.clone()
    measure_statistics(model, step_loss)
    torch.testing.assert_close(model[0].running_mean, torch.tensor([3.0, -1.0]), atol=0.3, rtol=0)
    torch.testing.assert_close(model[0].running_var, torch.full((2,), 4.0), atol=0.8, rtol=0)
    assert not model.training
    assert model[0].momentum == 0.01
    assert torch.equal(model[1].weight, weights)


def test_the_rate_rises_and_falls_with_time():
    assert rate_share(0.0) == rate_share(1.0) == rate_share(1.5) == pytest.approx(0.01)
    assert rate_share(0.05) == pytest.approx(1.0)
    assert rate_share(0.5) == pytest.approx(0.55, abs=0.05)


def test_shipped_families_describe_networks_that_can_be_built(encoder):
    networks = {family.network for family in FAMILIES.values() if isinstance(family, QueriedFamily)}
    for network in networks:
        assert untrained(network, encoder, seed=0).config == network
