"""The comparison of weak supervision: labels that keep company, and rows that differ in what judges their estimates."""

from collections import Counter
from itertools import islice

import pytest
import torch

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from pipeline.experiments.families import QueriedFamily
from pipeline.experiments.family_material import BUILTIN, BUILTIN_LABELS, companions, family_scenes
from pipeline.experiments.family_runs import SCENES, right_source
from pipeline.experiments.weak_supervision import WEAKLY
from pipeline.mixtures_of_mixtures import WeakSampler
from pipeline.scoring import EvalMixture, EvalTarget
from tests.pipeline.sounds import TonePool


def test_companions_are_unrelated_and_each_has_one():
    pairs = companions(BUILTIN_LABELS)
    assert Counter(label for pair in pairs for label in pair) == Counter(BUILTIN_LABELS)
    assert not any(label_table().related(*pair) for pair in pairs)


def test_who_finds_no_companion_is_left_out():
    assert companions(["Dog", "Bark", "Rain", "Siren", "Knock"]) == [("Dog", "Rain"), ("Bark", "Siren")]


@pytest.mark.parametrize("labels", [[], ["Dog", "Bark"], ["Dog", "Bark", "Rain"], ["Bark", "Rain", "Siren"]])
def test_fewer_than_two_pairs_are_refused(labels):
    with pytest.raises(UserError, match=f"these have {', '.join(labels) or 'none'} in common: name other splits"):
        companions(labels)


@pytest.mark.parametrize("paired", [True, False])
def test_in_paired_scenes_labels_are_heard_with_their_companions_alone(paired):
    config = Config.model_validate({"audio": {"clip_duration_s": 0.5}, "soundscapes": SCENES})
    scenes = family_scenes(BUILTIN, config, train=20, test=10, paired=paired)
    learned = [scenes.mixtures.texts(index) for index in range(len(scenes.mixtures))]
    measured = [tuple(target.label for target in mixture.targets) for mixture in scenes.test]
    pairs = {frozenset(pair) for pair in companions(BUILTIN_LABELS)}
    assert all(len(labels) == 2 for labels in [*learned, *measured])
    assert all(frozenset(labels) in pairs for labels in [*learned, *measured]) is paired


class Mixes:
    """Gives a label's source with some of every other, ``leaks`` by label; has to be asked without negatives."""

    checkpoint_hash = "test"

    def __init__(self, sources, leaks):
        self.sources, self.leaks = sources, leaks

    def separate_batch(self, mixtures, labels, *, negatives=None):
        assert negatives == [[() for _ in own] for own in labels]
        mixture = sum(self.sources.values())
        return [torch.stack([self.sources[one] + self.leaks[one] * (mixture - self.sources[one]) for one in labels[0]])]


@pytest.mark.parametrize(("leaks", "share"), [((0.1, 0.1), 1.0), ((0.1, 4.0), 0.5), ((4.0, 4.0), 0.0)])
def test_a_label_brings_out_the_source_whose_share_it_raises(leaks, share):
    time = torch.arange(8_000) / 8_000
    sources = {"Bark": torch.sin(400 * torch.pi * time), "Rain": 0.1 * torch.sin(2_000 * torch.pi * time)}
    targets = tuple(EvalTarget(label, waveform) for label, waveform in sources.items())
    mixture = EvalMixture("loud and quiet", sum(sources.values()), targets)
    assert right_source(Mixes(sources, dict(zip(sources, leaks, strict=True))), [mixture]) == share


def test_rows_ask_for_the_same_and_differ_in_the_judge():
    pool = TonePool([("Bark", "Rain"), ("Siren", "Chime")])
    rows = {name: family for name, family in WEAKLY.items() if isinstance(family, QueriedFamily)}
    assert set(rows) == set(WEAKLY)
    assert len({family.what for family in rows.values()}) == len(rows)
    for name, family in rows.items():
        config = family.train_config
        for sample in islice(WeakSampler(pool, config, length=4_000, seed=0), 5):
            assert all(not query.negatives for query in sample.queries), name
    weak = {name: rows[name].train_config.weak for name in rows if name != "supervised"}
    assert [config.contrastive_weight for config in weak.values()] == [0.0, 0.5, 1.0]
    assert [config.consistency_weight for config in weak.values()] == [0.0, 5.0, 0.0]
