"""The held-out mixtures of a workspace: always the same ones, of unrelated labels, at the planned levels."""

import numpy as np
import pytest
import soundfile
import torch

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import Clip
from pipeline.audio import AudioError
from pipeline.held_out import mix, plan_mixtures
from tests.pipeline.tone_separator import RATE_HZ, tone

LABELS = ("Bark", "Rain", "Siren", "Dog", "Speech")
CONFIG = Config.model_validate(
    {"audio": {"sample_rate_hz": RATE_HZ, "clip_duration_s": 1.0}, "evaluate": {"mixtures": 24}}
)


@pytest.fixture
def clips(tmp_path) -> list[Clip]:
    made = []
    for number in range(10):
        label = LABELS[number % len(LABELS)]
        path = tmp_path / f"{number}.wav"
        sound = tone(
            "Bark" if label == "Dog" else label, seconds=0.6 if number == 0 else 1.0, level=0.02 * (number + 1)
        )
        soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")
        made.append(Clip(clip_id=f"{number:016x}", path=str(path), labels=(label,), duration_s=len(sound) / RATE_HZ))
    return made


def test_plans_depend_on_clips_and_configuration_only(clips):
    plans = plan_mixtures(clips, CONFIG)
    assert len(plans) == 24
    assert plans == plan_mixtures(list(reversed(clips)), CONFIG)
    assert plans != plan_mixtures(clips, CONFIG.model_copy(update={"seed": 1}))


def test_plans_use_every_clip_and_hold_unrelated_labels_within_the_levels(clips):
    plans = plan_mixtures(clips, CONFIG)
    assert {clip.clip_id for plan in plans for clip in plan.clips[:1]} == {clip.clip_id for clip in clips}
    low, high = CONFIG.train.snr_db
    for plan in plans:
        labels = [clip.labels[0] for clip in plan.clips]
        assert 2 <= len(labels) <= 1 + CONFIG.train.interferers_max
        assert plan.levels_db[0] == 0.0
        assert all(low <= level <= high for level in plan.levels_db)
        for position, one in enumerate(labels):
            others = [*labels[:position], plan.absent_label]
            assert not any(label_table().related(one, other) for other in others)


def test_a_mixture_is_the_sum_of_its_targets_at_the_planned_levels(clips):
    for plan in plan_mixtures(clips, CONFIG):
        mixture = mix(plan, CONFIG)
        waveforms = torch.stack([target.waveform for target in mixture.targets])
        assert waveforms.shape == (len(plan.clips), RATE_HZ)
        torch.testing.assert_close(waveforms.sum(dim=0), mixture.mixture)
        assert mixture.mixture.abs().max() <= 0.9001
        if all(clip.duration_s == 1.0 for clip in plan.clips):
            power_db = 10 * np.log10(waveforms.square().mean(dim=1).numpy())
            np.testing.assert_allclose(power_db - power_db[0], plan.levels_db, atol=0.01)


def test_clips_of_one_label_cannot_be_evaluated(clips):
    related = [clip for clip in clips if clip.labels[0] in ("Bark", "Dog")]
    for few in (related, clips[:1], []):
        with pytest.raises(UserError, match="no two held-out clips have unrelated labels"):
            plan_mixtures(few, CONFIG)


def test_a_clip_that_vanished_says_so(clips):
    plan = plan_mixtures(clips, CONFIG)[0]
    gone = plan.clips[0].model_copy(update={"path": "gone.wav"})
    with pytest.raises(AudioError, match="missing file"):
        mix(type(plan)(plan.mixture_id, (gone, *plan.clips[1:]), plan.levels_db, plan.absent_label), CONFIG)
