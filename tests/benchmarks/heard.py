"""How often ``data-engine separate`` says of a label that it is heard or not: rightly, and wrongly. Not a test.

Every scene is asked, one by one, for a label that it holds, for one that other scenes hold, and for any other AudioSet
class. Beside the rates of the rule in ``pipeline.stem_hearing`` it prints the rule that fits these scenes best.

Run: .venv/bin/python -m tests.benchmarks.heard SCENES [N], with a folder that ``data-engine soundscapes`` wrote.
"""

import csv
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data_specs.config import ModelConfig
from data_specs.labels import label_table
from models.label_separator import LabelSeparator
from pipeline.stem_hearing import VERDICTS
from pipeline.stems import StemTrack, separate_recording

HELD, OTHER, ANY = "a label of the scene", "a label of other scenes", "another AudioSet class"


def asked(scenes: Path, count: int) -> list[tuple[Path, str, str]]:
    """Recordings, what they are asked for, and which kind of question that is."""
    with (scenes / "clips.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    every = sorted({label for row in rows for label in row["labels"].split(";")})
    rng, table = random.Random(0), label_table()
    questions = []
    for row in rows[:count]:
        held = row["labels"].split(";")
        path = scenes / row["path"]
        questions.append((path, rng.choice(held), HELD))
        for kind, labels in ((OTHER, every), (ANY, [name for name in table.names if name not in every])):
            absent = [label for label in labels if not any(table.related(label, one) for one in held)]
            questions.append((path, rng.choice(absent), kind))
    return questions


def main(scenes: str, count: str = "100") -> None:
    """Print the rates, and how well other rules would do."""
    separator = LabelSeparator.load(ModelConfig())
    tracks: dict[str, list[StemTrack]] = {HELD: [], OTHER: [], ANY: []}
    with tempfile.TemporaryDirectory() as folder:
        for path, label, kind in asked(Path(scenes), int(count)):
            stems = separate_recording(path, [label], separator, out=Path(folder) / "out", picture=False)
            tracks[kind] += stems.tracks
    for kind, own in tracks.items():
        counts = Counter(track.heard for track in own)
        said = ", ".join(f"{verdict} {100 * counts[verdict] / len(own):.0f} %" for verdict in VERDICTS)
        print(f"{kind} ({len(own)} questions): heard {said}")
    for kind in (OTHER, ANY):
        own = tracks[HELD] + tracks[kind]
        held = np.array([True] * len(tracks[HELD]) + [False] * len(tracks[kind]))
        evidence = np.array([track.evidence_db for track in own])
        print(f"told from {kind}: AUC {roc_auc_score(held, evidence):.2f}", end="; best weights of ")
        facts = np.array([[track.energy_share_db, track.fit.recording, track.fit.track] for track in own])
        weights = LogisticRegression(C=1e3).fit(facts, held).coef_[0]
        print(f"energy share, fit of the recording and of the track: {np.round(weights / weights[0], 1)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
