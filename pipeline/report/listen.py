"""Clips to listen to: audio and spectrogram of mixture, tracks, remix and residual, with all that is known of them.

Clips whose tracks are all in a shard are taken from there, bit for bit. Shards hold no rejected tracks: clips that have
some are separated again by the round's own separator, through the very code of the round. The mixture of a clip
outside of tier ``sst`` is cut from its recording. What cannot be had any more is left out and said.

The tagger listens as well: what it hears in a mixture is compared with the labels that came with the clip, and what it
hears in a kept track with the track's label.

Example::

    gallery = Gallery(workspace, 1, config, folder)
    gallery.write({"5f0c": "000000-3e1a"})      # clip id -> work unit; writes folder/audio and folder/pictures
    gallery.heard.clips
"""

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip, Track
from data_specs.scores import SCORES
from data_specs.shard_format import META_PART, MIXTURE_PART, ShardClip, member_name
from models.label_separator import LabelSeparator
from models.taggers import load_tagger
from pipeline.audio import AudioError, decode, decode_bytes, encode_flac
from pipeline.gate import Decision, Scored
from pipeline.label_free import LabelFreeSeparator, load_label_free
from pipeline.label_queries import round_encoder
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.references import NO_REFERENCES
from pipeline.report.hearing import Heard, Hearing, counted
from pipeline.report.pictures import MelPictures
from pipeline.report.scan import iter_clips
from pipeline.report.summary import KEPT_TIERS, Disagreements
from pipeline.separate import WorkUnit, separate_unit
from pipeline.shards import iter_shard
from pipeline.workspace import Workspace


class _Audio(NamedTuple):
    """Waveforms of a clip: the mixture (T,) or None, tracks (T,) by index, and the FLAC bytes that a shard holds."""

    mixture: np.ndarray | None
    tracks: dict[int, np.ndarray]
    stored: dict[str, bytes]
    again: bool = False


class _KeepAll:
    """A gate for listening: everything goes into the shard."""

    needs_evidence = False
    references = NO_REFERENCES

    def in_doubt(self, clips: Sequence[Scored]) -> list[tuple[int, int]]:
        return []

    def decide(self, clips: Sequence[Scored]) -> list[list[Decision]]:
        return [[Decision("sst")] * len(clip.labels) for clip in clips]


class Gallery:
    """Writes the listening sample of a round below a folder and collects what the page says about it.

    Attributes:
        clips: one entry per clip, as the page's script reads it.
        notes: what could not be had, one line each.
        heard, empty_tracks: what the tagger says, see ``RoundSummary``.
    """

    def __init__(self, workspace: Workspace, round_number: int, config: Config, folder: Path) -> None:
        self.workspace, self.round_number, self.config, self.folder = workspace, round_number, config, folder
        self.clips: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.heard = Disagreements()
        self.empty_tracks = Disagreements()
        self._rate_hz = config.audio.sample_rate_hz
        self._pictures = MelPictures(sample_rate_hz=self._rate_hz)
        self._hearing: Hearing | None = None

    def write(self, chosen: Mapping[str, str], progress: Progress = NO_PROGRESS) -> None:
        """Write the files of the chosen clips, clip id -> work unit."""
        if not chosen:
            return
        rows = self._rows(chosen)
        sources = {clip.clip_id: clip for clip in iter_clips(self.workspace, "natural") if clip.clip_id in chosen}
        try:
            tagger = load_tagger(self.config, round_encoder(self.workspace, self.config).vectors)
            self._hearing = Hearing(tagger, sample_rate_hz=self._rate_hz)
        except UserError as error:  # a report is worth having without it
            self.notes.append(f"No tagger has listened: {error}")
        with progress.task("report: clips to listen to", len(rows)) as task:
            for clip_id, audio in self._audio(rows, sources):
                self._write_clip(sources.get(clip_id), rows[clip_id], audio)
                task.advance()
        self.clips.sort(key=lambda clip: clip["id"])

    def _rows(self, chosen: Mapping[str, str]) -> dict[str, list[Track]]:
        rows: dict[str, list[Track]] = {clip_id: [] for clip_id in chosen}
        for unit in sorted(set(chosen.values())):
            for track in self.workspace.unit_tracks(self.round_number, unit):
                if track.clip_id in rows:
                    rows[track.clip_id].append(track)
        return rows

    def _audio(self, rows: Mapping[str, Sequence[Track]], sources: Mapping[str, Clip]) -> Iterator[tuple[str, _Audio]]:
        """The audio of every clip, those of one shard after the other; then what is separated again."""
        shards = set(self.workspace.shards(self.round_number))
        again: list[str] = []
        for clip_id in sorted(rows, key=lambda clip_id: (rows[clip_id][0].unit, clip_id)):
            names = {track.shard for track in rows[clip_id]}
            (name,) = names if len(names) == 1 else ("",)
            if name in shards:
                yield clip_id, self._from_shard(name, rows[clip_id], sources.get(clip_id))
            else:
                again.append(clip_id)
        missing = [clip_id for clip_id in again if clip_id not in sources]
        separated = self._separated({clip_id: rows[clip_id] for clip_id in again if clip_id in sources}, sources)
        for clip_id, audio in separated:
            yield clip_id, audio
        for clip_id in missing:
            yield clip_id, _Audio(None, {}, {})

    def _from_shard(self, name: str, rows: Sequence[Track], source: Clip | None) -> _Audio:
        clip_id = rows[0].clip_id
        parts = (META_PART, MIXTURE_PART, *(str(track.index) for track in rows))
        members = {member_name(clip_id, part): part for part in parts}
        stored: dict[str, bytes] = {}
        with self.workspace.open_shard(self.round_number, name) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name in members else None
                if content is not None:
                    stored[members[member.name]] = content.read()
        gain = ShardClip.model_validate_json(stored.pop(META_PART)).gain
        waveforms = {part: decode_bytes(data)[0] for part, data in stored.items()}
        mixture = waveforms.pop(MIXTURE_PART, None)
        if mixture is None and source is not None:
            cut = self._cut(source)
            mixture = None if cut is None else cut * np.float32(gain)
        return _Audio(mixture, {int(part): waveform for part, waveform in waveforms.items()}, stored)

    def _cut(self, source: Clip) -> np.ndarray | None:
        """The clip's window of its recording, None when that cannot be read any more."""
        window = {"start_s": source.start_s, "duration_s": source.duration_s}
        try:
            return decode(source.path, sample_rate_hz=self._rate_hz, **window)
        except AudioError:
            return None

    def _separated(
        self, rows: Mapping[str, Sequence[Track]], sources: Mapping[str, Clip]
    ) -> Iterator[tuple[str, _Audio]]:
        """Clips separated once more, each with all of its tracks; without audio where that is not possible."""
        separator = self._separator() if rows else None
        heard = any(track.source == "label_free" for own in rows.values() for track in own)
        label_free = self._label_free() if heard else None
        for clip_id, own in rows.items():
            audio = _Audio(self._cut(sources[clip_id]), {}, {})
            if separator is not None and audio.mixture is not None:
                asked = tuple(track.label for track in own if track.source == "labels")
                unit = WorkUnit(unit_id="again", clips=(sources[clip_id],), labels=(asked,))
                with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
                    shard = separate_unit(unit, self.config, separator, _KeepAll(), label_free=label_free).shard
                for sample in iter_shard(io.BytesIO(shard)) if shard is not None else ():
                    audio = _Audio(sample.mixture, dict(sample.tracks), {}, again=True)
            yield clip_id, audio

    def _separator(self) -> LabelSeparator | None:
        """The separator of the round, None when it is not what it was."""
        state = self.workspace.round_state(self.round_number)
        checkpoint = self.workspace.current_checkpoint(before_round=self.round_number)
        try:
            with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
                model = self.config.model.model_copy(update={"checkpoint": checkpoint})
                encoder = round_encoder(self.workspace, self.config)
                separator = LabelSeparator.load(model, encoder, bf16=self.config.separate.bf16)
        except UserError as error:
            self.notes.append(f"Rejected tracks cannot be heard: {error}")
            return None
        if separator.checkpoint_hash != state.checkpoint_in_hash:
            self.notes.append("Rejected tracks cannot be heard: the round's separator has changed since.")
            return None
        return separator

    def _label_free(self) -> LabelFreeSeparator | None:
        """What separated the round's clips without labels, None when it is not what it was."""
        try:
            with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
                separator = load_label_free(self.workspace, self.config)
        except UserError as error:
            self.notes.append(f"Rejected tracks without labels cannot be heard: {error}")
            return None
        known = self.workspace.round_state(self.round_number).unconditional_hash
        if separator is not None and separator.checkpoint_hash != known:
            self.notes.append("Rejected tracks without labels cannot be heard: their separator has changed since.")
            return None
        return separator

    def _write_clip(self, source: Clip | None, rows: Sequence[Track], audio: _Audio) -> None:
        clip_id = rows[0].clip_id
        lanes: list[dict[str, Any]] = []
        heard: dict[str, Heard] = {}
        waveforms: list[tuple[str, str, np.ndarray | None]] = [("mixture", "mix", audio.mixture)]
        waveforms += [("track", str(track.index), audio.tracks.get(track.index)) for track in rows]
        if len(audio.tracks) == len(rows):
            remix = np.sum(list(audio.tracks.values()), axis=0)
            waveforms.append(("remix", "remix", remix))
            if audio.mixture is not None and len(audio.mixture) == len(remix):
                waveforms.append(("residual", "residual", audio.mixture - remix))
        loudest_db = max((self._pictures.loudest_db(w) for _, _, w in waveforms[:1] if w is not None), default=0.0)
        for kind, part, waveform in waveforms:
            lane: dict[str, Any] = {"kind": kind}
            if kind == "track":
                lane["track"] = _track_entry(rows[int(part)])
            if waveform is not None:
                lane["audio"] = self._write(f"audio/{member_name(clip_id, part)}", audio.stored.get(part), waveform)
                picture = f"pictures/{clip_id}.{part}.webp"
                self._save(picture, self._pictures.webp(waveform, loudest_db))
                lane["picture"] = picture
                if kind in ("mixture", "track") and self._hearing is not None:
                    heard[part] = self._hearing.listen(waveform)
                    expected = [rows[int(part)].label] if kind == "track" else source.labels if source else ()
                    lane["heard"] = heard[part].tags
                    lane["unheard"] = [label for label in expected if not heard[part].holds(label)]
            lanes.append(lane)
        self._compare(source, rows, heard)
        self.clips.append(
            {
                "id": clip_id,
                "source": _source_entry(source, self._copy_recipe(source)),
                "unit": rows[0].unit,
                "again": audio.again,
                "lanes": lanes,
            }
        )

    def _write(self, name: str, stored: bytes | None, waveform: np.ndarray) -> str:
        self._save(name, stored or encode_flac(waveform, self._rate_hz))
        return name

    def _save(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def _copy_recipe(self, source: Clip | None) -> str:
        """The recipe of a clip that ``soundscapes`` made lies beside its audio; it is copied into the report."""
        if source is None:
            return ""
        path = Path(source.path)
        recipe = path.parent.parent / "recipes" / f"{path.stem}.json"
        if not recipe.is_file():
            return ""
        name = f"recipes/{source.clip_id}.json"
        self._save(name, recipe.read_bytes())
        return name

    def _compare(self, source: Clip | None, rows: Sequence[Track], heard: Mapping[str, Heard]) -> None:
        if "mix" in heard and source is not None and source.labels:
            self.heard = counted(self.heard, source.labels, heard["mix"])
        for track in rows:
            if str(track.index) in heard and track.tier in KEPT_TIERS:
                self.empty_tracks = counted(self.empty_tracks, [track.label], heard[str(track.index)])


def _track_entry(track: Track) -> dict[str, Any]:
    fields = ("track_id", "label", "index", "tier", "outcome", "reason", "shard", "source", "checkpoint", "config_hash")
    return {
        **{name: getattr(track, name) for name in fields},
        "negatives": list(track.negative_labels),
        "scores": {score.name: _rounded(getattr(track, score.name)) for score in SCORES},
    }


def _source_entry(source: Clip | None, recipe: str) -> dict[str, Any]:
    if source is None:
        return {"path": "", "recipe": ""}
    fields = ("path", "start_s", "duration_s", "sha256", "source_rate_hz")
    entry = {name: getattr(source, name) for name in fields}
    return {**entry, "labels": list(source.labels), "problems": list(source.problems), "recipe": recipe}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
