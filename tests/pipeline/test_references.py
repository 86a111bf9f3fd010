"""Recordings of labels as a listener hears them: gathered by content, compared with tracks, stored, read again."""

import numpy as np
import pytest
import soundfile
import torch

from data_specs.records import Clip
from models.query_encoders import load_query_encoder
from pipeline.audio import decode
from pipeline.references import PER_LABEL, References, some_of_every_label
from tests.pipeline.test_calibrate import clips_of

RATE_HZ = 32_000


class CountingEncoder:
    """Hears nothing but how often each sign comes: positive samples, negative samples."""

    dim = 2

    def __init__(self):
        self.heard = 0

    def embed_audio(self, waveforms):
        self.heard += len(waveforms)
        signs = torch.stack([(waveforms > 0).sum(dim=1), (waveforms < 0).sum(dim=1)], dim=1).float()
        return signs / signs.norm(dim=1, keepdim=True)


@pytest.fixture
def clips(tmp_path):
    """Clips of two labels, one all positive, one all negative."""

    def write(label: str, level: float, number: int) -> Clip:
        path = tmp_path / f"{label}{number}.wav"
        soundfile.write(path, np.full(RATE_HZ // 10, level, np.float32), RATE_HZ)
        return Clip(clip_id=path.stem, path=str(path), labels=(label,), duration_s=0.1)

    return [write("Rain", 0.1, number) for number in range(3)] + [write("Bark", -0.1, number) for number in range(3)]


def test_a_track_is_nearest_to_recordings_of_its_own_label(clips):
    references = References.gather(clips, CountingEncoder(), sample_rate_hz=RATE_HZ)
    heard = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    rain, bark = references.scores(("Rain", "Bark"), heard)
    order = pytest.approx((1.0 + 0.8 - 0.0 - 0.6) / 2)
    assert rain == {
        "reference_similarity": 1.0,
        "reference_margin": pytest.approx(1.0),
        "order_margin_reference": order,
    }
    assert bark == {
        "reference_similarity": pytest.approx(0.8),
        "reference_margin": pytest.approx(0.2),
        "order_margin_reference": order,
    }
    swapped = references.scores(("Bark", "Rain"), heard)
    assert swapped[0]["reference_margin"] == pytest.approx(-1.0)


def test_labels_without_recordings_have_no_scores(clips):
    references = References.gather(clips[:3], CountingEncoder(), sample_rate_hz=RATE_HZ)
    rain, bark = references.scores(("Rain", "Bark"), torch.eye(2))
    assert set(rain) == {"reference_similarity"}
    assert bark == {}
    assert References({}).scores(("Rain",), torch.ones(1, 2)) == [{}]


def test_a_label_is_listened_to_so_often_and_no_more(clips, tmp_path):
    many = [clip.model_copy(update={"clip_id": f"{clip.clip_id}-{copy}"}) for clip in clips[:3] for copy in range(20)]
    encoder = CountingEncoder()
    one = References.gather(some_of_every_label(many), encoder, sample_rate_hz=RATE_HZ)
    assert encoder.heard == PER_LABEL
    other = References.gather(some_of_every_label(many[::-1]), encoder, sample_rate_hz=RATE_HZ)
    torch.testing.assert_close(one.embeddings["Rain"], other.embeddings["Rain"], rtol=0, atol=0)


def test_a_recording_that_is_gone_is_left_out(clips, tmp_path):
    (tmp_path / "Rain0.wav").unlink()
    references = References.gather(clips[:1] + clips[3:], CountingEncoder(), sample_rate_hz=RATE_HZ)
    assert list(references.embeddings) == ["Bark"]
    assert references.listened_to(clips) == clips[3:]


def test_a_recording_is_compared_with_others_only(clips, tmp_path):
    odd = clips[0].model_copy(update={"clip_id": "odd", "path": str(tmp_path / "odd.wav")})
    soundfile.write(odd.path, np.resize(np.float32([0.1, -0.1]), RATE_HZ // 10), RATE_HZ)
    references = References.gather([odd, *clips], CountingEncoder(), sample_rate_hz=RATE_HZ)
    fewer = references.without({"odd"})
    torch.testing.assert_close(fewer.embeddings["Rain"], torch.tensor([1.0, 0.0]))
    assert references.embeddings["Rain"][1] > 0.1
    window = odd.model_copy(update={"clip_id": "another window of it"})
    twice = References.gather([odd, window, *clips], CountingEncoder(), sample_rate_hz=RATE_HZ)
    torch.testing.assert_close(twice.without({"odd"}).embeddings["Rain"], torch.tensor([1.0, 0.0]))
    assert list(references.without({"odd", *(clip.clip_id for clip in clips[:3])}).embeddings) == ["Bark"]


def test_what_is_stored_is_read_again(clips):
    references = References.gather(clips, CountingEncoder(), sample_rate_hz=RATE_HZ)
    again = References.from_bytes(references.to_bytes())
    assert list(again.embeddings) == ["Bark", "Rain"]
    for label, own in references.embeddings.items():
        torch.testing.assert_close(again.embeddings[label], own, rtol=0, atol=0)
    assert References.from_bytes(References({}).to_bytes()).embeddings == {}


def test_recordings_tell_labels_better_than_texts(shared_data):
    """Which of two labels is it? Recordings of one fold as references, of another to be told, the embedded listener."""
    encoder = load_query_encoder("embedded")
    references = References.gather(clips_of(shared_data, "fold1"), encoder, sample_rate_hz=RATE_HZ)
    by_recordings, by_texts = [], []
    for clip in clips_of(shared_data, "fold2"):
        sound = decode(clip.path, sample_rate_hz=RATE_HZ)
        heard = encoder.embed_audio(torch.from_numpy(sound)[None])
        for other in sorted(set(references.embeddings) - set(clip.labels)):
            by_recordings.append(
                references.scores((clip.labels[0], other), heard.expand(2, -1))[0]["reference_margin"] > 0
            )
            own, rest = (encoder.embed_text([clip.labels[0], other]) @ heard[0]).tolist()
            by_texts.append(own > rest)
    assert np.mean(by_recordings) > np.mean(by_texts) + 0.03
