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
    Score("background_db", "Background", "dB", "neither", "clip", "energy of what no label explains, over the clip's"),
    Score("energy_share_db", "Energy share", "dB", "neither", "track", "energy of the track over that of the clip"),
    Score("silence_share", "Silent frames", "", "neither", "track", "share of frames that are silent"),
    Score("mixture_similarity", "Mixture similarity", "", "lower", "track", "cosine of track and clip spectrograms"),
    Score("spectral_overlap", "Spectral overlap", "", "lower", "track", "cosine with the most similar other track"),
    Score("temporal_overlap", "Temporal overlap", "", "lower", "track", "the same for the envelopes"),
    Score(
        "long_term_overlap", "Long-term overlap", "", "neither", "track", "cosine of mean spectra with another track"
    ),
    Score("onset_overlap", "Onset overlap", "", "lower", "track", "correlation of level changes with another track"),
    Score("mask_time_variation", "Mask over time", "", "neither", "track", "share of the mask's variance over time"),
    Score(
        "mask_frequency_variation",
        "Mask over frequency",
        "",
        "neither",
        "track",
        "share of the mask's variance over frequency",
    ),
    Score("softness", "Softness", "", "lower", "track", "1 minus the mask, averaged over the track's energy"),
    Score("residual_correlation", "Residual correlation", "", "lower", "track", "correlation of track and residual"),
    Score(
        "positive_agreement_db", "Agreement, positive", "dB", "higher", "track", "SI-SDR of the positive-only answer"
    ),
    Score(
        "negative_agreement_db", "Agreement, negative", "dB", "higher", "track", "SI-SDR of the negative-only answer"
    ),
    Score(
        "label_margin_db",
        "Label margin",
        "dB",
        "higher",
        "track",
        "how much nearer to its own label's answer than to another label's",
    ),
    Score(
        "order_margin_db",
        "Label order",
        "dB",
        "higher",
        "clip",
        "how much nearer all tracks are to their labels' answers than in any other order",
    ),
    Score(
        "previous_agreement_db", "Agreement, last round", "dB", "higher", "track", "SI-SDR of the last round's track"
    ),
    Score("label_similarity", "Label heard", "", "higher", "track", "CLAP cosine of track and label"),
    Score("label_gain", "Label gain", "", "higher", "track", "how much more than in the clip the label is heard"),
    Score(
        "other_label_similarity", "Other label heard", "", "lower", "track", "CLAP cosine with the loudest other label"
    ),
    Score(
        "other_label_drop", "Other label drop", "", "higher", "track", "how much less that label is heard than before"
    ),
    Score(
        "order_margin_heard",
        "Label order heard",
        "",
        "higher",
        "clip",
        "how much better all tracks fit their labels' texts than in any other order",
    ),
    Score("residual_label_similarity", "Label left", "", "lower", "track", "CLAP cosine of residual and label"),
    Score("residual_similarity", "Residual similarity", "", "lower", "track", "CLAP cosine of track and residual"),
    Score(
        "reference_similarity", "Recordings heard", "", "higher", "track", "CLAP cosine with recordings of the label"
    ),
    Score(
        "reference_margin",
        "Recordings, margin",
        "",
        "higher",
        "track",
        "how much nearer to recordings of its label than of another one",
    ),
    Score(
        "order_margin_reference",
        "Recordings, order",
        "",
        "higher",
        "clip",
        "how much better all tracks fit recordings of their labels than in any other order",
    ),
    Score("idempotence_db", "Idempotence", "dB", "higher", "track", "SI-SDR of the track separated from itself"),
    Score("foreign_agreement_db", "Agreement, remixed", "dB", "higher", "track", "the same beside a foreign track"),
    Score(
        "others_in_track_db",
        "Others in track",
        "dB",
        "lower",
        "track",
        "energy that the other labels take of the track",
    ),
    Score(
        "own_in_residual_db", "Label in residual", "dB", "lower", "track", "energy that the label takes of the residual"
    ),
    Score("expected_si_sdr_db", "Expected SI-SDR", "dB", "higher", "track", "what the calibrated gate predicts"),
    Score("good_probability", "Probability of good", "", "higher", "track", "that the SI-SDR is above gate.good_db"),
)
