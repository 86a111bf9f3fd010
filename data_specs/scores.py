"""The scores of a track by name: what each means, its unit, and which end is the good one.

Every score is a column of the track manifest (``data_specs.records.Track``). The gate fills them, reports draw and
explain them; both read this table, so that a new score needs one entry here and one field there.

Example::

    for score in SCORES:
        print(score.name, score.title, score.unit)
"""

from typing import Literal, NamedTuple


class Score(NamedTuple):
    """One column of scores. ``title`` is what people read; ``scope`` says whether a clip's tracks share the value."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    scope: Literal["track", "clip"]
    meaning: str


SCORES: tuple[Score, ...] = (
    Score("re_sdr_db", "Re-SDR", "dB", "higher", "clip", "SDR of the remix of all tracks against the clip (eq. 13)"),
    Score("re_si_sdr_db", "Re-SISDR", "dB", "higher", "clip", "SI-SDR of the remix against the clip (eq. 14 and 15)"),
    Score("energy_share_db", "Energy share", "dB", "neither", "track", "energy of the track over that of the clip"),
)
