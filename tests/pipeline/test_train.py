"""The loop trains: it can learn a small task, its learning rate follows the validation, bad batches do no harm."""

from itertools import repeat

import pytest
import torch
from torch import nn

from data_specs.config import TrainConfig
from pipeline.mixtures import Batch
from pipeline.train import Training, batch_loss, fit, validate


class Gain(nn.Module):
    """Multiplies the mixture by one learned number."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, mixtures, queries):
        return self.gain * mixtures.unsqueeze(1).expand(-1, queries.shape[1], -1)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    mixtures = torch.randn(4, 1000)
    return Batch(mixtures, 0.5 * mixtures.unsqueeze(1).expand(-1, 2, -1), torch.zeros(4, 2, 6))


def test_training_finds_the_solution(batch):
    model = Gain()
    config = TrainConfig(steps=200, learning_rate=0.02, validate_every=50)
    history = fit(model, repeat(batch), [batch], config)
    assert model.gain.item() == pytest.approx(0.5, abs=0.05)
    assert len(history.loss) == 200
    assert history.step == [50, 100, 150, 200]
    assert history.validation_sdri_db[-1] > 15
    assert history.loss[-1] < history.loss[0]


def test_the_rate_decays_when_validation_stops_improving_and_not_below_the_minimum(batch):
    solved = Batch(batch.mixtures, batch.targets * 2, batch.queries)  # the untrained gain is right already
    config = TrainConfig(
        steps=200, learning_rate=1e-4, learning_rate_min=2e-5, plateau_patience=2, validate_every=5, weight_decay=0
    )
    history = fit(Gain(), repeat(solved), [solved], config)
    assert history.learning_rate[0] == 1e-4
    assert 3e-5 in [pytest.approx(rate) for rate in history.learning_rate]
    assert min(history.learning_rate) == pytest.approx(2e-5)


def test_a_batch_that_is_not_finite_changes_nothing(batch):
    model = Gain()
    broken = Batch(batch.mixtures * torch.nan, batch.targets, batch.queries)
    fit(model, repeat(broken), [batch], TrainConfig(steps=3))
    assert model.gain.item() == 1.0


def test_a_training_that_was_cut_off_ends_as_one_that_was_not(batch, tmp_path):
    torch.manual_seed(1)
    batches = [Batch(batch.mixtures + torch.randn(4, 1000), batch.targets, batch.queries) for _ in range(12)]
    config = TrainConfig(steps=12, checkpoint_every=5, validate_every=3, plateau_patience=0, learning_rate=0.02)
    undisturbed = Gain()
    worsening = [Batch(batch.mixtures, 2 * batch.targets, batch.queries)]  # so that the rate decays
    expected = fit(undisturbed, iter(batches), worsening, config)

    class CutOff(Exception):
        pass

    def save_and_stop(training):
        torch.save(training.state_dict(), tmp_path / "state.pt")
        raise CutOff

    with pytest.raises(CutOff):
        fit(Gain(), iter(batches), worsening, config, on_checkpoint=save_and_stop)
    resumed = Gain()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    history = fit(resumed, iter(batches[5:]), worsening, config, resume=state)
    assert torch.equal(resumed.gain, undisturbed.gain)
    assert vars(history) == vars(expected)
    assert len(set(expected.learning_rate)) > 1


def test_a_state_of_another_model_is_refused(batch):
    state = Training(Gain(), TrainConfig()).state_dict()
    with pytest.raises(KeyError):
        Training(nn.Linear(2, 2), TrainConfig()).load_state_dict(state)


def test_checkpoints_come_on_time_and_at_the_end(batch):
    steps = []
    config = TrainConfig(steps=7, checkpoint_every=3)
    fit(Gain(), repeat(batch), [batch], config, on_checkpoint=lambda training: steps.append(training.step))
    assert steps == [3, 6, 7]


def test_validation_leaves_silent_targets_out(batch):
    targets = batch.targets.clone()
    targets[:, 1] = 0
    assert validate(Gain(), [Batch(batch.mixtures, targets, batch.queries)]) == pytest.approx(0, abs=1e-4)


def test_bfloat16_gives_nearly_the_same_loss():
    from data_specs.config import SeparatorConfig
    from models.separator import Separator

    torch.manual_seed(0)
    separator = Separator(SeparatorConfig()).eval()
    mixtures = torch.randn(2, 32_000)
    batch = Batch(mixtures, 0.5 * mixtures.unsqueeze(1), torch.randn(2, 1, 256))
    with torch.no_grad():
        full, half = (batch_loss(separator, batch, TrainConfig(bf16=bf16)) for bf16 in (False, True))
    assert half.item() == pytest.approx(full.item(), abs=0.1)


def test_the_cosine_schedule_rises_and_falls_to_the_minimum(batch):
    config = TrainConfig(
        steps=100, schedule="cosine", learning_rate=1e-3, learning_rate_min=1e-5, validate_every=1, weight_decay=0
    )
    rates = fit(Gain(), repeat(batch), [batch], config).learning_rate
    assert rates[0] < 0.5e-3
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert rates.index(max(rates)) < 10
    assert rates[-1] == pytest.approx(1e-5, rel=0.05)
