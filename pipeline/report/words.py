"""How the report writes numbers, times and tiers; the same in pages, figures and Prefect artifacts.

Example::

    amount_of_time(7260.0), number(-1.5, "dB"), signed(0.25)      # '2.0 h', '−1.5 dB', '+0.25'
"""

from collections.abc import Mapping
from typing import Any

MINUS = "−"
NOTHING = "–"
MODE_TITLES = {"pos": "positive query only", "pos_neg": "positive and negative query"}


def tier_word(tier: str) -> str:
    """``sst`` as ``SST``; ``rejected`` as it is."""
    return tier.upper() if tier != "rejected" else tier


def tier_purpose(tier: str) -> str:
    """What tracks of a kept tier are for: ``self-separate training (SST)``."""
    return {"sst": "self-separate training (SST)", "itt": "independent-track training (ITT)"}[tier]


def number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """A value with its unit; a dash for none."""
    if value is None:
        return NOTHING
    text = f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)  # no minus before a zero
    return f"{text} {unit}" if unit else text


def signed(value: float | None, digits: int = 2) -> str:
    """A change: always with a sign."""
    return NOTHING if value is None else f"{value:+.{digits}f}".replace("-", MINUS)


def percent(share: float | None, digits: int = 0) -> str:
    """A share of one in percent."""
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def count(value: int | None) -> str:
    """Thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def time_unit(longest_s: float) -> tuple[float, str]:
    """The unit that suits times up to ``longest_s``, in seconds and by name."""
    return (3600.0, "h") if longest_s >= 2 * 3600 else (60.0, "min") if longest_s >= 120 else (1.0, "s")


def amount_of_time(seconds: float | None) -> str:
    """How much audio or time: ``42 s``, ``12.5 min``, ``310 h``; less than a tenth of a second is just that."""
    if seconds is None:
        return NOTHING
    if 0 < seconds < 0.1:
        return "< 0.1 s"
    unit_s, unit = time_unit(seconds)
    value = seconds / unit_s
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}" if unit != "s" else f"{value:.3g} {unit}"


def plural(n: int, one: str, many: str = "") -> str:
    """``1 clip``, ``3 clips``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """The text with a capital at its begin."""
    return text[:1].upper() + text[1:]


def listed(names: list[str], most: int = 3) -> str:
    """Names in a sentence, the rest counted."""
    rest = len(names) - most
    if rest > 0:
        return f"{', '.join(names[:most])} and {rest:,} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Largest first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def mean_of(metrics: Mapping[str, Any] | None, mode: str, name: str) -> float | None:
    """Mean of a metric in ``evaluate_mixtures``' form, None when it is not there."""
    return (((metrics or {}).get(mode) or {}).get(name) or {}).get("mean")
