"""How often ``data-engine separate`` says of a label that it is not heard: rightly, and wrongly. Not a test.

Every scene is asked for one label that it holds and for one that it does not.

Run: .venv/bin/python -m tests.benchmarks.heard SCENES [N], with a folder that ``data-engine soundscapes`` wrote.
"""

import csv
import random
import sys
import tempfile
from pathlib import Path

from data_specs.config import ModelConfig
from data_specs.labels import label_table
from models.label_separator import LabelSeparator
from pipeline.stem_hearing import is_heard
from pipeline.stems import StemTrack, separate_recording


def asked(scenes: Path, count: int) -> list[tuple[Path, str, bool]]:
    """Recordings, what they are asked for, and whether they hold it."""
    with (scenes / "clips.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    every = sorted({label for row in rows for label in row["labels"].split(";")})
    rng, related = random.Random(0), label_table().related
    questions = []
    for row in rows[:count]:
        present = row["labels"].split(";")
        absent = rng.choice([label for label in every if not any(related(label, one) for one in present)])
        questions += [(scenes / row["path"], present[0], True), (scenes / row["path"], absent, False)]
    return questions


def main(scenes: str, count: str = "50") -> None:
    """Print the rates."""
    separator = LabelSeparator.load(ModelConfig())
    tracks: dict[bool, list[StemTrack]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        for path, label, present in asked(Path(scenes), int(count)):
            stems = separate_recording(path, [label], separator, out=Path(folder) / "out", picture=False)
            tracks[present] += stems.tracks
    for present, own in tracks.items():
        silent = sum(not is_heard(energy_share_db=track.energy_share_db, fit=track.fit) for track in own)
        what = "present" if present else "absent"
        print(f"{what}: {silent} of {len(own)} labels are said not to be heard ({100 * silent / len(own):.0f} %)")


if __name__ == "__main__":
    main(*sys.argv[1:])
