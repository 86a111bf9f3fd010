"""Small finished rounds in a workspace, by the engine's own writers; a label, paths and reasons are hostile."""

import numpy as np
import soundfile

from data_specs.config import Config
from data_specs.labels import label_table
from data_specs.records import Clip, StageCounts, TaggedClip, Track, content_id
from data_specs.scores import SCORES
from models.checkpoints import checkpoint_hash
from pipeline.ledger import STAGES, RoundState
from pipeline.shards import ShardItem, shard_bytes
from pipeline.workspace import Workspace
from tests.pipeline.tone_separator import RATE_HZ, tone

EVIL = '<script>alert("x")</script>'
CONFIG = Config.model_validate({"audio": {"sample_rate_hz": RATE_HZ, "clip_duration_s": 1.0}})
QUIET = CONFIG.model_copy(update={"report": CONFIG.report.model_copy(update={"examples_per_label": 0})})
"""A report without clips to listen to is written faster."""
SCORE_OF_TIER = {"sst": 18.0, "itt": 12.0, "rejected": 3.0}
CLIPS = 12


def statistics(mean):
    return {"mean": mean, "std": 2.0, "median": mean, "n": 7}


def metrics(mean):
    mode = {"sdri_db": statistics(mean), "si_sdri_db": statistics(mean - 1)}
    labels = {"Bark": {"sdri_db": mean, "n": 4}, EVIL: {"sdri_db": None, "n": 3}}
    return {"pos": mode, "pos_neg": mode, "labels": labels, "mixtures": 48, "set": "s", "checkpoint": "c"}


def tracks_of(clip_id, tier, labels=("Bark", EVIL), unit="u", **changes):
    """The manifest rows of a clip whose tracks all have one tier."""
    kept = tier != "rejected"
    fields = {
        "tier": tier,
        "re_sdr_db": SCORE_OF_TIER[tier],
        "re_si_sdr_db": SCORE_OF_TIER[tier] - 0.5,
        "energy_share_db": -3.0,
        "duration_s": 1.0,
        "unit": unit,
        "shard": f"{unit}.tar" if kept else "",
        "outcome": "kept" if kept else "dropped",
        "reason": "" if kept else f"Re-SDR too low {EVIL}",
        **changes,
    }
    return [
        Track(track_id=content_id(clip_id, index), clip_id=clip_id, label=label, index=index, **fields)
        for index, label in enumerate(labels)
    ]


def add_round(
    workspace,
    number,
    *,
    tiers=("sst", "itt", "rejected"),
    sdri_db=4.5,
    write_clips=False,
    scores=None,
    calibration=None,
):
    """A finished round of ``CLIPS`` clips whose tiers take turns; ``scores`` are those of all of its tracks."""
    folder = workspace.storage.local_path.parent / "<b>recordings"
    folder.mkdir(exist_ok=True)
    items, rows, clips = [], [], []
    for place in range(CLIPS):
        clip_id = content_id(place)
        waveforms = np.stack([tone("Bark"), tone("Rain")])
        path = folder / f"{place} & more.wav"
        if not path.exists():
            soundfile.write(path, waveforms.sum(axis=0), RATE_HZ)
        clip = Clip(clip_id=clip_id, path=str(path), labels=("Bark", EVIL), duration_s=1.0)
        tracks = tracks_of(clip_id, tiers[place % len(tiers)], **(scores or {}))
        tracks[1] = tracks[1].model_copy(update={"energy_share_db": -40.0 if place == 0 else -3.0})
        clips.append(clip)
        rows += tracks
        items.append(ShardItem(clip, waveforms.sum(axis=0), tracks, waveforms))
    if write_clips:
        failed = Clip(clip_id="f", path=f"/{EVIL}.wav", outcome="failed", reason=f"bad {EVIL}")
        workspace.write_clips("natural", [*clips, failed])
        single = Clip(clip_id="s", path="s.wav", labels=("Bark",), duration_s=30.0)
        workspace.write_clips("single_source", [single])
    workspace.commit_tags(number, "u", [TaggedClip(clip_id=clip.clip_id, labels=("Bark", EVIL)) for clip in clips])
    workspace.commit_unit(number, "u", rows, shard_bytes(items, sample_rate_hz=RATE_HZ))
    workspace.round_storage(number).child("checkpoint").write_bytes(
        "training.json", b'{"step": [2, 4], "loss": [3.0, 2.0, 1.5, 1.0], "validation_sdri_db": [1.0, 2.0]}'
    )
    ingest = StageCounts(inputs=14, kept=12, dropped=1, failed=1, reasons={f"bad {EVIL}": 1, "empty file": 1})
    workspace.write_round_state(
        RoundState(
            number=number,
            finished=STAGES[:-1],
            config=CONFIG.model_dump(mode="json"),
            calibration=calibration or {},
            checkpoint_in="embedded",
            checkpoint_in_hash=checkpoint_hash("embedded"),
            counts={"ingest": ingest, "separate": StageCounts(inputs=12, kept=12), "gate": StageCounts.of(rows)},
            timings_s={"tag": 1.0, "separate": 70.0},
            training={"steps": 4, "final_loss_db": 1.0, "skipped": ""},
            metrics={"current": metrics(4.0), "candidate": metrics(sdri_db)},
            promotion={"promoted": False, "reason": "better", "current_sdri_db": 4.0, "candidate_sdri_db": sdri_db},
        )
    )


def new_workspace(folder) -> Workspace:
    """A workspace with one finished round, whose report is not written."""
    workspace = Workspace.open(folder / "workspace", CONFIG)
    add_round(workspace, 1, write_clips=True)
    return workspace


def big_workspace(folder, *, tracks: int, calibrated: bool = False) -> Workspace:
    """A round with so many tracks of many labels and no audio, through the workspace's writers.

    Args:
        calibrated: every track has every score, as a calibrated gate leaves them.
    """
    workspace = Workspace.open(folder / "big", QUIET)
    labels = label_table().names
    generator = np.random.default_rng(0)
    unit_clips, total = 2_500, StageCounts()
    for start in range(0, tracks // 2, unit_clips):
        rows = []
        for place in range(start, min(start + unit_clips, tracks // 2)):
            tier = ("sst", "itt", "rejected")[place % 3]
            scores = {"re_sdr_db": float(generator.normal(12, 5)), "energy_share_db": float(generator.normal(-9, 4))}
            if calibrated:
                scores |= {score.name: generator.uniform() for score in SCORES if score.name not in scores}
            own = (labels[place % len(labels)], labels[(place * 7 + 1) % len(labels)])
            rows += tracks_of(content_id(place), tier, own, unit=f"u{start:06d}", **scores)
        workspace.commit_unit(1, f"u{start:06d}", rows, None)
        total += StageCounts.of(rows)
    calibration = {"gate": "calibrated", "caution": 0.0, "known": labels} if calibrated else {}
    workspace.write_round_state(
        RoundState(number=1, finished=STAGES[:-1], counts={"gate": total}, calibration=calibration)
    )
    return workspace
