"""Progress as bars and as lines."""

import io

import pytest
from rich.console import Console

from flows.console import BarProgress, LineProgress, Opening, Pace, duration


def test_lines_tell_the_start_and_the_end_of_work():
    lines: list[str] = []
    progress = LineProgress(lines.append)
    with progress.task("separate", total=3) as task:
        task.advance()
        progress.say("a word between")
        task.advance(2)
    assert lines == ["separate ...", "a word between", "separate: 3 of 3 in 0 s"]


def test_long_work_tells_how_far_it_is():
    lines: list[str] = []
    with LineProgress(lines.append, interval_s=0.0).task("ingest", total=None) as task:
        task.advance(5)
    assert lines == ["ingest ...", "ingest: 5", "ingest: 5 in 0 s"]


def test_work_that_fails_leaves_the_count_where_it_stopped():
    lines: list[str] = []

    def fail_half_way():
        with LineProgress(lines.append).task("train", total=9) as task:
            task.advance(4)
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fail_half_way()
    assert lines[-1] == "train: 4 of 9 in 0 s"


def test_bars_can_be_nested_and_follow_one_another():
    screen = io.StringIO()
    progress = BarProgress(Console(file=screen, force_terminal=True, width=120))
    with progress.task("round [1]", total=2) as outer:
        with progress.task("inner", total=None) as inner:
            inner.advance(7)
        progress.say("half [way]")
        outer.advance(2)
    with progress.task("second", total=1) as task:
        task.advance()
    shown = screen.getvalue()
    for text in ("round [1]", "2/2", "inner", "7/7", "half [way]", "second", "1/1"):
        assert text in shown


def test_the_start_is_shown_until_work_begins():
    lines: list[str] = []
    with Opening(LineProgress(lines.append), "start the flow") as progress:
        with progress.task("tag", total=1) as task:
            task.advance()
        progress.say("a word")
    assert lines == ["start the flow ...", "start the flow: done in 0 s", "tag ...", "tag: 1 of 1 in 0 s", "a word"]


def test_the_pace_counts_from_the_first_report_on():
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    assert pace.outlook(10) == ""
    now[0] = 30.0
    pace.advance(4)  # done by an earlier run, or waited for the models
    assert pace.outlook(10) == ""
    now[0] = 34.0
    pace.advance(2)
    assert pace.outlook(10) == "2.0 s each, 8 s left"
    now[0] = 34.5
    pace.advance(3)
    assert pace.outlook(None) == "1.1/s"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3_700, "1 h 01 min")]
)
def test_durations_are_told_in_words(seconds, words):
    assert duration(seconds) == words
