"""What experiments found, for people: tables over seeds, one figure over rounds, and the share of the gap won.

Example::

    text = table(results)          # Markdown
    figure(results, Path("rounds.svg"))
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

METRICS = {"sdri_db": "SDRi", "si_sdri_db": "SI-SDRi", "silence_sdr_db": "Silence SDR", "re_sdr_db": "Re-SDR"}
COLOURS = {
    "control": "#7a7a7a",
    "oracle": "#2a7f62",
    "oracle-gate": "#8a6bb1",
    "paper": "#b3541e",
    "calibrated": "#2b5fa8",
}

REMIX_DB = ("10 dB", "15 dB")

Results = Sequence[Mapping[str, Any]]


def table(results: Results) -> str:
    """Mean and spread (standard deviation over seeds) of every arm's rounds, as Markdown; in dB and percent."""
    head = ["arm", "round", *METRICS.values(), "Re-SDR > 15 dB"]
    head += ["gate AUC", "kept", "good of kept", "stated / true at 10, 25, 50 %", "clips above 10, 15 dB"]
    rows = []
    for arm, number in _places(results):
        own = [one for one in results if (one["arm"], one["round"]) == (arm, number)]
        gates = [one["gate"] for one in own if one.get("gate")]
        rows.append(
            [
                arm,
                str(number),
                *_metrics(own, METRICS),
                _percent([one["metrics"].get("re_sdr_above_15") for one in own]),
                spread([gate["auc"] for gate in gates], digits=3),
                _percent([gate["kept_share"] for gate in gates]),
                _percent([gate["kept_precision"] for gate in gates]),
                ", ".join(_stated(gates, share) for share in ("10%", "25%", "50%")) if gates else "",
                ", ".join(_mean([gate["remix_yield"][limit] for gate in gates]) for limit in REMIX_DB) if gates else "",
            ]
        )
    return markdown(head, rows)


def partition_table(results: Results) -> str:
    """What share of the tracks of wrong and right partitions each gate accepts, mean over seeds; empty without any."""
    found = [one["gate"]["accepted"] for one in results if one.get("gate", {}).get("accepted")]
    if not found:
        return ""
    rows = [
        [name, *(_percent([one[name][gate] for one in found]) for gate in ("paper", "calibrated"))] for name in found[0]
    ]
    return markdown(["partition", "paper accepts", "calibrated accepts"], rows)


def fall_backs(results: Results) -> list[str]:
    """A line per round whose gate could not be calibrated: there the paper's thresholds decided."""
    return [
        f"seed {one['seed']}, {one['arm']} {one['round']}: {one['gate']['calibration']['warning']}"
        for one in results
        if one.get("gate", {}).get("calibration", {}).get("gate") == "paper"
    ]


def silence_table(results: Results) -> str:
    """Mean and spread over seeds per silence rate (Table 5), with the purity of absent labels (Table 3)."""
    metrics = {
        "sdri_db": "SDRi",
        "si_sdri_db": "SI-SDRi",
        "silence_sdr_db_pos": "Silence SDR (P)",
        "silence_sdr_db": "Silence SDR (P+N)",
        "silence_si_sdr_db_pos": "Silence SI-SDR (P)",
        "silence_si_sdr_db": "Silence SI-SDR (P+N)",
    }
    rows = [[arm, *_metrics([one for one in results if one["arm"] == arm], metrics)] for arm, _ in _places(results)]
    return markdown(["silence rate", *metrics.values()], rows)


def recipe_table(results: Results) -> str:
    """Mean and spread over seeds per recipe, with its steps and the processor's minutes."""
    rows = []
    for arm, _ in _places(results):
        own = [one for one in results if one["arm"] == arm]
        rows.append([arm, str(own[0]["steps"]), _mean([one["seconds"] / 60 for one in own]), *_metrics(own, METRICS)])
    return markdown(["recipe", "steps", "minutes", *METRICS.values()], rows)


def threshold_table(results: Results) -> str:
    """Mean and spread over seeds per use of tracks (Table 6), with minutes of tracks for ITT (and clips for SST)."""
    metrics = {name: METRICS[name] for name in ("sdri_db", "si_sdri_db", "silence_sdr_db")}
    rows = []
    for arm, _ in _places(results):
        own = [one for one in results if one["arm"] == arm]
        minutes = [one["minutes"] for one in own if "minutes" in one]
        amounts = [_mean([one[kind] for one in minutes]) for kind in ("itt", "sst")]
        rows.append([arm, f"{amounts[0]} ({amounts[1]})" if minutes else "", *_metrics(own, metrics)])
    return markdown(["trained on", "minutes", *metrics.values()], rows)


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
    axes.set_xlabel("round")
    axes.set_ylabel("SDRi on test scenes (dB)")
    axes.set_xticks(range(max(one["round"] for one in results) + 1))
    axes.legend(frameon=False, loc="upper left")  # arms often end side by side: names there would collide
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes_figure.savefig(path)
    plt.close(axes_figure)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def _places(results: Results) -> list[tuple[str, int]]:
    """Arms and rounds in the order of their first result."""
    return list(dict.fromkeys((one["arm"], one["round"]) for one in results))


def spread(values: Sequence[float | None], digits: int = 2) -> str:
    """Mean and standard deviation of the values that are known."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{np.mean(known):.{digits}f} ± {np.std(known):.{digits}f}"


def _metrics(results: Results, names: Mapping[str, str]) -> list[str]:
    return [spread([one["metrics"][name] for one in results]) for name in names]


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.0f}" if values else ""


def _percent(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * np.mean(known):.0f} %" if known else ""


def _stated(gates: Results, share: str) -> str:
    true = _percent([gate["precision"][share]["true"] for gate in gates])
    stated = _percent([gate["precision"][share]["stated"] for gate in gates])
    return f"{stated or '–'} / {true}"
