"""What an experiment found, for people: one table over seeds, one figure over rounds, and the share of the gap won.

Example::

    text = table(results)          # Markdown
    figure(results, Path("rounds.svg"))
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

METRICS = {"sdri_db": "SDRi", "si_sdri_db": "SI-SDRi", "silence_sdr_db": "Silence SDR", "re_sdr_db": "Re-SDR"}
COLOURS = {"control": "#7a7a7a", "oracle": "#2a7f62", "paper": "#b3541e", "calibrated": "#2b5fa8"}

Results = Sequence[Mapping[str, Any]]


def table(results: Results) -> str:
    """Mean and spread (standard deviation over seeds) of every arm's rounds, as Markdown; in dB and percent."""
    head = ["arm", "round", *METRICS.values(), "gate AUC", "kept", "good of kept", "stated / true at 10, 25, 50 %"]
    rows = [head, ["---"] * len(head)]
    for arm, number in _places(results):
        own = [one for one in results if (one["arm"], one["round"]) == (arm, number)]
        gates = [one["gate"] for one in own if one.get("gate")]
        rows.append(
            [
                arm,
                str(number),
                *(_spread([one["metrics"][name] for one in own]) for name in METRICS),
                _spread([gate["auc"] for gate in gates], digits=3),
                _percent([gate["kept_share"] for gate in gates]),
                _percent([gate["kept_precision"] for gate in gates]),
                ", ".join(_stated(gates, share) for share in ("10%", "25%", "50%")) if gates else "",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def gap_won(results: Results, arm: str) -> dict[str, Any]:
    """How much of the way from control to oracle an arm went in SDRi after its last round.

    Returns:
        ``share`` over the seeds' means (None where control and oracle do not differ), and ``below_control``: the
        number of seeds that ended below their own control.
    """
    last = max(one["round"] for one in results)
    final = {(one["arm"], one["seed"]): float(one["metrics"]["sdri_db"]) for one in results if one["round"] == last}
    seeds = sorted({seed for name, seed in final if name == arm})
    mean = {name: np.mean([final[name, seed] for seed in seeds]) for name in ("control", "oracle", arm)}
    gap = mean["oracle"] - mean["control"]
    return {
        "share": None if gap <= 0 else float((mean[arm] - mean["control"]) / gap),
        "gap_db": float(gap),
        "below_control": sum(final[arm, seed] < final["control", seed] for seed in seeds),
        "seeds": len(seeds),
    }


def figure(results: Results, path: Path) -> None:
    """SDRi over rounds per arm, mean and standard deviation over seeds, as SVG or PNG by the suffix of ``path``."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    start = [one["metrics"]["sdri_db"] for one in results if one["round"] == 0]
    axes_figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for arm in dict.fromkeys(one["arm"] for one in results if one["round"] > 0):
        own = [one for one in results if one["arm"] == arm]
        numbers = sorted({one["round"] for one in own})
        values = [start, *([one["metrics"]["sdri_db"] for one in own if one["round"] == n] for n in numbers)]
        mean, spread = np.array([np.mean(v) for v in values]), np.array([np.std(v) for v in values])
        colour = COLOURS.get(arm)
        axes.plot([0, *numbers], mean, marker="o", color=colour, label=arm)
        axes.fill_between([0, *numbers], mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
        axes.annotate(f" {arm}", (numbers[-1], mean[-1]), color=colour, va="center")
    axes.set_xlabel("round")
    axes.set_ylabel("SDRi on test scenes (dB)")
    axes.set_xticks(range(max(one["round"] for one in results) + 1))
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes_figure.savefig(path)
    plt.close(axes_figure)


def _places(results: Results) -> list[tuple[str, int]]:
    """Arms and rounds in the order of their first result."""
    return list(dict.fromkeys((one["arm"], one["round"]) for one in results))


def _spread(values: Sequence[float | None], digits: int = 2) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{np.mean(known):.{digits}f} ± {np.std(known):.{digits}f}"


def _percent(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * np.mean(known):.0f} %" if known else ""


def _stated(gates: Results, share: str) -> str:
    true = _percent([gate["precision"][share]["true"] for gate in gates])
    stated = _percent([gate["precision"][share]["stated"] for gate in gates])
    return f"{stated or '–'} / {true}"
