"""Every objective, on every network: finite losses with gradients, also on silence; the weak one equals its pieces."""

import numpy as np
import pytest
import torch

from data_specs.config import TrainConfig, load_config
from data_specs.errors import UserError
from data_specs.extractors import ConformerConfig, ResUNetConfig, UNetConfig
from data_specs.objectives import WeakConfig
from models.architectures import build_separator
from models.checkpoints import load_clap, load_separator
from models.clap import TinyClap
from models.query_encoders import TinyClapEncoder, load_query_encoder
from pipeline.mixtures_of_mixtures import WeakBatch, WeakSampler, collate_weak
from pipeline.objectives import Batches, Material, Objectives, draw_samples, weak_objective
from tests.pipeline.sounds import TonePool

LABELS = [("Bark",), ("Rain", "Siren"), ("Chime",), ("Rain",), ("Bark", "Siren")]
ALL = {"supervised": 1.0, "weak": 0.5, "audio_query": 2.0}
LENGTH = 16_000


class OneLabelPool(TonePool):
    """Tones by label, as single-source clips are."""

    labels = ("Bark", "Rain", "Siren")

    def draw(self, label, rng, length):
        return super().draw(self.labels.index(label), rng, length)


@pytest.fixture(scope="module")
def encoder():
    return load_query_encoder("embedded")


@pytest.fixture(scope="module")
def material():
    pool = TonePool(LABELS)
    return Material([OneLabelPool(LABELS)], None, pool, pool)


def network(kind: str):
    if kind == "clearsep":
        return load_separator("embedded")
    configs = {
        "conformer": ConformerConfig(window_s=0.5, overlap_s=0.1, width=32, blocks=1),
        "resunet": ResUNetConfig(window_s=0.5, overlap_s=0.1, channels=(4, 4)),
        "unet": UNetConfig(window_s=0.5, overlap_s=0.1, channels=(4, 8)),
    }
    return build_separator(configs[kind])


@pytest.mark.parametrize("kind", ["clearsep", "conformer", "resunet", "unet"])
def test_every_network_gets_a_gradient_from_every_objective(material, encoder, kind):
    config = TrainConfig(objectives=ALL)
    model = network(kind).train()
    objectives = Objectives(config, model, encoder)
    samples = draw_samples(material, config, length=LENGTH, seed=0)
    losses = objectives(objectives.collate([next(samples) for _ in range(2)]).to("cpu"))
    assert set(losses) == set(ALL)
    for name, loss_of in losses.items():
        model.zero_grad()
        loss = loss_of(model)
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert loss.isfinite(), name
        assert all(one.isfinite().all() for one in gradients), name
        assert any(one.any() for one in gradients), name


def test_weights_multiply_losses_and_other_objectives_draw_the_same(material, encoder):
    model = network("conformer").eval()

    def losses(objectives):
        config = TrainConfig(objectives=objectives, audio_query={"kind": "none"})
        parts = Objectives(config, model, encoder)
        samples = draw_samples(material, config, length=LENGTH, seed=7)
        with torch.no_grad():
            return {name: loss(model) for name, loss in parts(parts.collate([next(samples)])).items()}

    alone, together = losses({"weak": 1.0}), losses({"supervised": 1.0, "weak": 3.0})
    torch.testing.assert_close(together["weak"], 3 * alone["weak"])
    torch.testing.assert_close(together["supervised"], losses({"supervised": 1.0})["supervised"])


def test_the_weak_objective_is_the_sum_of_its_parts_computed_one_by_one(encoder):
    model = network("conformer").eval()
    sampler = WeakSampler(TonePool(LABELS), TrainConfig(), length=LENGTH, seed=0)
    samples = [sampler.draw() for _ in range(3)]
    batch = collate_weak(samples, encoder, encoder)
    with torch.no_grad():
        loss = weak_objective(model, batch, encoder, WeakConfig())

        estimates, masks = model(batch.clips.sum(dim=1), batch.queries, with_masks=True)
        judged, texts, places = [], [], []
        consistency = unsupervised = 0.0
        for b, sample in enumerate(samples):
            mixture = sample.clips.sum(axis=0)
            gain = 0.1 / np.sqrt(np.mean(mixture**2))
            whole = model.spectrum(torch.from_numpy(gain * mixture)[None])[0].abs()
            for s, clip in enumerate(sample.clips):
                magnitude = model.spectrum(torch.from_numpy(gain * clip)[None])[0].abs()
                error = torch.log1p(whole).clamp(1e-3, 10) * (masks[b, s] * whole - magnitude).abs()
                unsupervised += float(error.mean()) / len(samples)
                own = [q for q, owner in enumerate(sample.owner) if owner == s]
                error = sum(masks[b, q] * whole for q in own) - magnitude
                consistency += float((torch.log1p(magnitude).clamp(1e-3, 10) * error.abs()).mean()) / len(samples)
                for q in own:
                    judged.append(encoder.embed_audio(estimates[b, q][None])[0])
                    texts.append(sample.queries[q].positive)
                    places.append(s)
        different = sorted(set(texts))
        text = encoder.embed_text(different)
        fits: dict[int, list[float]] = {0: [], 1: []}
        for i, own_text in enumerate(texts):
            logits = encoder.logit_scale * text @ judged[i]
            own_logit = float(logits[different.index(own_text)])
            fits[places[i]].append(float(np.log(np.sum(np.exp(logits.numpy())))) - own_logit)
        contrastive = sum(float(np.mean(one)) for one in fits.values())
    assert float(loss) == pytest.approx(0.5 * contrastive + 5 * (consistency + unsupervised), rel=1e-4)


def test_asking_some_clips_gives_the_same_consistency_in_the_mean_and_a_fit_of_what_is_asked(encoder):
    model = network("conformer").eval()
    pool = TonePool([("Bark",), ("Rain",), ("Siren",)])

    def mean(asked):
        config = TrainConfig(weak={"asked": asked}, pos_only_rate=0.0)
        sampler = WeakSampler(pool, config, length=LENGTH, seed=0)
        judged = WeakConfig(contrastive_weight=0, unsupervised_weight=0)
        with torch.no_grad():
            losses = [
                weak_objective(
                    model, collate_weak([sampler.draw() for _ in range(4)], encoder, encoder), encoder, judged
                )
                for _ in range(12)
            ]
        return float(torch.stack(losses).mean())

    assert mean(1) == pytest.approx(mean(None), rel=0.1)
    sampler = WeakSampler(pool, TrainConfig(weak={"asked": 1}), length=LENGTH, seed=0)
    batch = collate_weak([sampler.draw()], encoder, encoder)  # only one of the two clips is asked
    with torch.no_grad():
        assert weak_objective(model, batch, encoder, WeakConfig()).isfinite()


@pytest.mark.parametrize("kind", ["clearsep", "conformer", "resunet", "unet"])
def test_silent_mixtures_have_finite_losses_and_gradients(encoder, kind):
    model = network(kind).train()
    sample = WeakSampler(TonePool(LABELS), TrainConfig(), length=LENGTH, seed=0).draw()
    batch = collate_weak([sample, sample], encoder, encoder, tokens=model.takes_tokens)
    clips = batch.clips.clone()
    clips[0] = 0
    clips[1, 0] = 0
    silent = WeakBatch(clips, batch.queries, batch.owner, batch.text, batch.text_embeddings)
    loss = weak_objective(model, silent, encoder, WeakConfig())
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_clips_with_one_source_each_are_enough(encoder):
    pool = TonePool([("Bark",), ("Rain",), ("Siren",)])
    sampler = WeakSampler(pool, TrainConfig(), length=LENGTH, seed=0)
    batch = collate_weak([sampler.draw() for _ in range(2)], encoder, encoder)
    assert batch.queries.shape[1] == 4
    assert weak_objective(network("conformer"), batch, encoder, WeakConfig()).isfinite()


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_a_judge_with_another_sample_rate_hears_estimates_at_its_own(rate_hz):
    clap = TinyClap(load_clap("embedded").config, sample_rate_hz=rate_hz)
    clap.load_state_dict(load_clap("embedded").state_dict())
    judge = TinyClapEncoder(clap.eval())
    time_s = torch.arange(64_000) / 32_000
    tone = torch.sin(2 * torch.pi * 440 * time_s)[None]
    at_own_rate = torch.sin(2 * torch.pi * 440 * torch.arange(2 * rate_hz) / rate_hz)[None]
    usual = load_query_encoder("embedded").embed_audio(tone)
    assert torch.nn.functional.cosine_similarity(judge.embed_audio(at_own_rate), usual) > 0.95
    sampler = WeakSampler(TonePool(LABELS), TrainConfig(), length=LENGTH, seed=0)
    batch = collate_weak([sampler.draw()], judge, judge)
    losses = [
        weak_objective(network("conformer"), batch, one, WeakConfig())
        for one in (judge, load_query_encoder("embedded"))
    ]
    torch.testing.assert_close(*losses, rtol=0.05, atol=0.05)


def test_an_objective_without_its_material_is_an_error():
    config = TrainConfig(objectives={"weak": 1.0})
    with pytest.raises(ValueError, match="needs labelled clips"):
        next(draw_samples(Material(), config, length=LENGTH, seed=0))
    with pytest.raises(ValueError, match="need recordings"):
        next(draw_samples(Material(), TrainConfig(objectives={"audio_query": 1.0}), length=LENGTH, seed=0))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"objectives": {"week": 1.0}}, "week"),
        ({"objectives": {"weak": 0.0}}, "weights must be positive"),
        ({"objectives": {}}, "objectives"),
        ({"text_query": {"kind": "mixup"}}, "manipulation of audio queries"),
        ({"audio_query": {"dropout": [0.9, 0.1]}}, "range within 0 and 1"),
        ({"weak": {"mixtures": 1}}, "mixtures"),
    ],
)
def test_bad_configurations_are_refused_in_one_line(train, message):
    with pytest.raises(UserError, match=message):
        load_config("embedded", {"train": train})


def test_batches_go_to_a_device_together():
    batch = WeakBatch(*(torch.zeros(1) for _ in range(5)))
    assert Batches({"weak": batch}).to("cpu").of["weak"].clips.device.type == "cpu"
