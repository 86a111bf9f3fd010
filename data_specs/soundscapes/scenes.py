"""Scenes: several unrelated sounds at once with known truth, and the recipe that makes each of them again.

``compose_scene`` draws a recipe and renders it in the same pass; ``remake_scene`` renders a recipe. Both go through
``_render``, so that the samples are the same.

Example::

    scene = compose_scene(BuiltinSource(), seed=1, config=SoundscapeConfig(), duration_s=10.0, sample_rate_hz=32_000)
    assert np.allclose(scene.mixture, sum(track.waveform for track in scene.tracks) + scene.background_or_silence)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_specs.config import SoundscapeConfig
from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import Record
from data_specs.soundscapes.dsp import shaped_noise, swell, uniform_log
from data_specs.soundscapes.rooms import Point, Room, add_room, draw_room, place_source
from data_specs.soundscapes.sources import EventSource

SHORT_EVENT = (0.2, 0.8)  # share of the scene that an event takes which does not last all of it
SHORT_EVENT_MIN_S = 0.5
PEAK_DB = (-12.0, -1.0)
ACTIVE_DB = -30.0  # frames this far below an event's loudest frame are its pauses
FRAME_S = 0.02
FADE_S = 0.01
LABEL_DRAWS_MAX = 16


class TrackRecipe(Record):
    """One event of a scene: where it comes from, when it starts, how loud it is, where in the room it stands."""

    label: str
    origin: dict[str, str | int | float]
    onset_s: float
    gain_db: float
    source_m: Point | None = None


class SceneRecipe(Record):
    """Everything needed to make a scene again from the same event source.

    ``gain_db`` of a track is its level while it sounds, over that of the first track; ``background_db`` is the
    background's RMS over that of all tracks; ``peak`` is what the loudest of mixture and tracks was scaled to.
    """

    seed: int
    duration_s: float
    sample_rate_hz: int
    tracks: tuple[TrackRecipe, ...]
    room: Room | None = None
    background_seed: int | None = None
    background_db: float | None = None
    peak: float


@dataclass(frozen=True)
class SceneTrack:
    """One label of a scene and its sound as it is in the mixture, (T,) float32."""

    label: str
    waveform: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Mixture (T,) float32, the tracks and the unlabelled background (T,) that it is the sum of, and the recipe."""

    mixture: np.ndarray
    tracks: tuple[SceneTrack, ...]
    background: np.ndarray | None
    recipe: SceneRecipe

    @property
    def background_or_silence(self) -> np.ndarray:
        """The background, zeros where there is none, (T,)."""
        return np.zeros_like(self.mixture) if self.background is None else self.background


def compose_scene(
    source: EventSource,
    *,
    seed: int,
    config: SoundscapeConfig,
    duration_s: float,
    sample_rate_hz: int,
    labels: Sequence[str] | None = None,
) -> Scene:
    """The scene that belongs to a seed: labels, onsets, overlaps, gains, room and background as ``config`` says.

    Args:
        labels: what to hear in it; drawn from those of ``source`` by default.

    Raises:
        UserError: when ``source`` has fewer unrelated labels than ``config.labels_min``.
    """
    rng = np.random.default_rng(seed)
    if labels is None:
        labels = draw_labels(source.labels, rng, config)
    room = draw_room(rng) if rng.random() < config.room_probability else None
    events, tracks = [], []
    for k, label in enumerate(labels):
        length_s, onset_s = _draw_extent(rng, config, duration_s)
        event = source.draw(label, rng, length_s, sample_rate_hz)
        events.append(event)
        slack_s = max(0.0, duration_s - len(event.waveform) / sample_rate_hz)
        tracks.append(
            TrackRecipe(
                label=label,
                origin=event.origin,
                onset_s=round(onset_s if length_s < duration_s else float(rng.uniform(0, slack_s)), 6),
                gain_db=0.0 if k == 0 else round(float(rng.uniform(*config.gain_db)), 3),
                source_m=place_source(room, rng) if room is not None else None,
            )
        )
    background = rng.random() < config.background_probability
    recipe = SceneRecipe(
        seed=seed,
        duration_s=duration_s,
        sample_rate_hz=sample_rate_hz,
        tracks=tuple(tracks),
        room=room,
        background_seed=int(rng.integers(2**53)) if background else None,
        background_db=round(float(rng.uniform(*config.background_db)), 3) if background else None,
        peak=round(float(10 ** (rng.uniform(*PEAK_DB) / 20)), 6),
    )
    return _render(recipe, [event.waveform for event in events])


def remake_scene(recipe: SceneRecipe, source: EventSource) -> Scene:
    """The scene of a recipe, sample for sample as ``compose_scene`` made it from the same source."""
    return _render(recipe, [source.remake(track.label, track.origin, recipe.sample_rate_hz) for track in recipe.tracks])


def draw_labels(available: Sequence[str], rng: np.random.Generator, config: SoundscapeConfig) -> list[str]:
    """Between ``labels_min`` and ``labels_max`` labels of which none contains another.

    Raises:
        UserError: when there are not enough.
    """
    wanted = int(rng.integers(config.labels_min, max(config.labels_min, config.labels_max) + 1))
    table = label_table()
    best: list[str] = []
    for _ in range(LABEL_DRAWS_MAX):  # a class with many descendants among the labels may leave too few others
        chosen: list[str] = []
        for index in rng.permutation(len(available)):
            if len(chosen) < wanted and not any(table.related(available[index], label) for label in chosen):
                chosen.append(available[index])
        best = max(best, chosen, key=len)
        if len(best) >= config.labels_min:
            break
    if len(best) < config.labels_min:
        raise UserError(
            f"scenes need {config.labels_min} unrelated labels, but the sources have {len(best)}: "
            "add clips of other classes"
        )
    return best


def _draw_extent(rng: np.random.Generator, config: SoundscapeConfig, duration_s: float) -> tuple[float, float]:
    """Length and onset of an event in seconds."""
    if rng.random() < config.full_length_probability:
        return duration_s, 0.0
    length_s = min(duration_s, max(SHORT_EVENT_MIN_S, float(rng.uniform(*SHORT_EVENT)) * duration_s))
    length_s = round(length_s, 3)
    return length_s, float(rng.uniform(0, max(0.0, duration_s - length_s)))


def _render(recipe: SceneRecipe, events: Sequence[np.ndarray]) -> Scene:
    rate = recipe.sample_rate_hz
    length = round(recipe.duration_s * rate)
    waveforms = []
    for track, event in zip(recipe.tracks, events, strict=True):
        placed = _placed(event, round(track.onset_s * rate), length, rate)
        if recipe.room is not None and track.source_m is not None:
            placed = add_room(placed, recipe.room, track.source_m, sample_rate_hz=rate)
        waveforms.append(placed * np.float32(10 ** (track.gain_db / 20) / active_rms(placed, rate)))
    total = np.sum(waveforms, axis=0, dtype=np.float32)
    background = None
    if recipe.background_seed is not None and recipe.background_db is not None:
        level = 10 ** (recipe.background_db / 20) * float(np.sqrt(np.mean(np.square(total, dtype=np.float64))))
        background = _background(recipe.background_seed, length, rate) * np.float32(level)
    parts = [*waveforms, background] if background is not None else waveforms
    peak = max(float(np.max(np.abs(part))) for part in [*parts, np.sum(parts, axis=0)])
    scaled = [(part * np.float32(recipe.peak / peak)).astype(np.float32) for part in parts]
    return Scene(
        mixture=np.asarray(np.sum(scaled, axis=0, dtype=np.float32)),
        tracks=tuple(
            SceneTrack(track.label, waveform)
            for track, waveform in zip(recipe.tracks, scaled[: len(waveforms)], strict=True)
        ),
        background=scaled[-1] if background is not None else None,
        recipe=recipe,
    )


def _placed(event: np.ndarray, onset: int, length: int, rate: int) -> np.ndarray:
    """``event`` without clicks at its ends, from sample ``onset`` in ``length`` samples, (T,) float32."""
    piece = event[: max(0, length - onset)].astype(np.float32)
    k = min(len(piece) // 2, round(FADE_S * rate))
    ramp = np.linspace(0, 1, k, dtype=np.float32)
    piece[:k] *= ramp
    piece[len(piece) - k :] *= ramp[::-1]
    return np.pad(piece, (onset, length - onset - len(piece)))


def active_rms(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """RMS over the frames that are not pauses, so that three short barks are as loud as steady rain."""
    frame = max(1, round(FRAME_S * sample_rate_hz))
    padded = np.pad(waveform.astype(np.float64), (0, -len(waveform) % frame))
    energy = np.mean(padded.reshape(-1, frame) ** 2, axis=1)
    return max(1e-9, float(np.sqrt(np.mean(energy[energy >= np.max(energy) * 10 ** (ACTIVE_DB / 10)]))))


def _background(seed: int, length: int, rate: int) -> np.ndarray:
    """Unlabelled room tone: noise that falls towards high frequencies, slowly breathing, unit RMS, (T,) float32."""
    rng = np.random.default_rng(seed)
    corner = uniform_log(rng, 80, 1_500)
    points = [(20.0, -10.0), (corner, 0.0), (8 * corner, float(rng.uniform(-35, -10))), (16_000.0, -60.0)]
    noise = shaped_noise(rng, length, rate, points) * swell(rng, length, rate, 4.0, 0.5)
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)
