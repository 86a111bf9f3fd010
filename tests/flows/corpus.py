"""A tiny labelled corpus of tones, and the configuration that names it."""

from pathlib import Path

import numpy as np
import soundfile
import yaml

SAMPLE_RATE_HZ = 32_000


def write_corpus(folder: Path, *, scenes: int = 4, **changes: object) -> Path:
    """Scenes of two tones and eight single tones, one second each, and the configuration that names them.

    ``changes`` replace sections of the configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels = ("Bark", "Rain", "Siren", "Bell")
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tones = [0.2 * np.sin(2 * np.pi * (200 + 70 * i) * time_s) for i in range(max(8, scenes + 1))]
    rows = {"scenes.csv": ["path,labels"], "singles.csv": ["path,labels"]}
    for i, tone in enumerate(tones[:8]):
        soundfile.write(folder / f"single{i}.wav", tone, SAMPLE_RATE_HZ)
        rows["singles.csv"].append(f"single{i}.wav,{labels[i % 4]}")
    for i in range(scenes):
        soundfile.write(folder / f"scene{i}.wav", tones[i] + tones[i + 1], SAMPLE_RATE_HZ)
        rows["scenes.csv"].append(f"scene{i}.wav,{labels[i % 4]};{labels[(i + 1) % 4]}")
    for name, lines in rows.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    content = {
        "rounds": 1,
        "audio": {"clip_duration_s": 1.0},
        "corpus": {"kind": "clip_list", "path": "scenes.csv"},
        "single_source": {"kind": "clip_list", "path": "singles.csv"},
        "train": {"steps": 1, "batch_size": 1, "validation_mixtures": 1},
        "evaluate": {"mixtures": 2, "held_out_share": 0.5},
        **changes,
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    return config
