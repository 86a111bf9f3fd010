"""Tables and figures of experiments say what the results say."""

import pytest

from pipeline.experiments.summary import (
    fall_backs,
    figure,
    gap_won,
    partition_table,
    recipe_table,
    silence_table,
    table,
    threshold_table,
)


def result(arm: str, number: int, seed: int, sdri_db: float, gate=None):
    metrics = {"sdri_db": sdri_db, "si_sdri_db": 1.0, "silence_sdr_db": 20.0, "re_sdr_db": 10.0}
    return {"arm": arm, "round": number, "seed": seed, "metrics": metrics, "gate": gate or {}}


GATE = {
    "auc": 0.9,
    "kept_share": 0.3,
    "kept_precision": 0.8,
    "remix_yield": {"10 dB": 120, "15 dB": 80},
    "accepted": {"all to one": {"paper": 1.0, "calibrated": 0.02}},
    "precision": {share: {"true": 0.8, "stated": 0.75} for share in ("10%", "25%", "50%")},
}
RESULTS = [
    one
    for seed, shift in ((0, 0.0), (1, 0.5))
    for one in (
        result("start", 0, seed, 5.0),
        result("control", 1, seed, 6.0 + shift),
        result("oracle", 1, seed, 8.0 + shift),
        result("calibrated", 1, seed, 7.5 - shift, GATE),
    )
]


def test_the_share_of_the_gap_is_taken_over_means_and_seeds_below_control_are_counted():
    assert gap_won(RESULTS, "calibrated") == {"share": 0.5, "gap_db": 2.0, "below_control": 0, "seeds": 2}
    worse = [*RESULTS[:-1], result("calibrated", 1, 1, 6.0, GATE)]
    assert gap_won(worse, "calibrated")["below_control"] == 1


def test_without_a_gap_there_is_no_share():
    flat = [result(arm, 1, 0, 6.0) for arm in ("control", "oracle", "calibrated")]
    assert gap_won(flat, "calibrated")["share"] is None


def test_the_table_has_a_row_per_arm_and_round_with_mean_and_spread():
    lines = table(RESULTS).splitlines()
    assert len(lines) == 2 + 4
    assert "| control | 1 | 6.25 ± 0.25 |" in lines[3]
    assert "0.900 ± 0.000" in lines[5]
    assert "75 % / 80 %" in lines[5]
    assert "| 120, 80 |" in lines[5]


def test_partitions_are_rows_with_what_each_gate_accepts():
    assert partition_table(RESULTS).splitlines()[2] == "| all to one | 100 % | 2 % |"
    assert partition_table(RESULTS[:3]) == ""


def test_silence_and_thresholds_have_a_row_per_arm():
    names = ("sdri_db", "si_sdri_db", "silence_sdr_db", "silence_si_sdr_db", "silence_sdr_db_pos")
    metrics = {name: 1.5 for name in (*names, "silence_si_sdr_db_pos")}
    rows = [{"arm": "α = 0.05", "round": 0, "seed": seed, "metrics": metrics} for seed in (0, 1)]
    assert silence_table(rows).splitlines()[2] == "| α = 0.05 |" + " 1.50 ± 0.00 |" * 6
    rows = [{**one, "arm": "ITT > 10 dB", "minutes": {"itt": 20.0, "sst": 0.0}} for one in rows]
    assert threshold_table(rows).splitlines()[2] == "| ITT > 10 dB | 20 (0) |" + " 1.50 ± 0.00 |" * 3


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_figure_is_written(tmp_path, suffix):
    figure(RESULTS, tmp_path / f"rounds.{suffix}")
    assert (tmp_path / f"rounds.{suffix}").stat().st_size > 5000


def test_a_gate_that_fell_back_is_named():
    calibration = {"gate": "paper", "warning": "24 tracks are too few; the paper's thresholds decide"}
    assert fall_backs(RESULTS) == []
    fallen = result("calibrated", 1, 2, 6.0, {**GATE, "calibration": calibration})
    assert fall_backs([*RESULTS, fallen]) == [
        "seed 2, calibrated 1: 24 tracks are too few; the paper's thresholds decide"
    ]


def test_recipes_are_told_with_what_they_cost():
    results = [
        {**result("slow.yaml", 0, seed, 6.0 + seed), "steps": 800, "seconds": 300 + 60 * seed} for seed in (0, 1)
    ]
    (row,) = recipe_table(results).splitlines()[2:]
    assert row.startswith("| slow.yaml | 800 | 6 | 6.50 ± 0.50 |")
