"""Artifacts: the page's figures in Markdown and tables, in which text from data stays text."""

import re

from pipeline.report.artifacts import artifact_key, escaped, round_artifacts
from pipeline.report.history import stored_summary
from pipeline.workspace import Workspace
from tests.pipeline.report.rounds import CONFIG, EVIL


def test_markdown_says_what_the_page_says(written):
    (summary, labels, rounds) = round_artifacts(written, 2)
    for words in (
        "# Round 2",
        "Round 2 kept 24 of 24 tracks \\(100 %\\), 24 s of audio; separator unchanged",
        "| SST | 12 |",
        "| Separate \\(clips\\) | 12 | 12 | 0 | 0 |",
        "The new separator was not promoted",
        "| round 2 | 24 s | 5.50 ± 2.00 |",
        "| start of round 1 |",
        "| 2 | 15 dB SST | 6 |",
        '| Bark and &lt;script&gt;alert\\("x"\\)&lt;/script&gt; | 12 |',
        "| loss, mean of the last steps | 1.00 |",
        "| separate | 70 |",
    ):
        assert words in summary.markdown
    assert summary.description.startswith("Round 2 kept 24 of 24 tracks \\(100 %\\), 24 s of audio")
    stored = stored_summary(written, written.round_state(2), CONFIG)
    assert sum(row["tracks"] for row in labels.table) == stored.tracks
    bark = next(row for row in labels.table if row["label"] == "Bark")
    assert (bark["clips"], bark["SDRi (dB)"], bark["change (dB)"], bark["Re-SDR"]) == (12, "4.00", "+1.50", "12.00")
    assert [row["round"] for row in rounds.table] == [2, 1]


def test_keys_have_the_form_that_prefect_asks_for(written):
    for artifact in round_artifacts(written, 1):
        assert re.fullmatch(r"[a-z0-9-]+", artifact.key)
        assert bool(artifact.markdown) != bool(artifact.table)
        assert len({tuple(row) for row in artifact.table}) <= 1, "all rows of a table have the same columns"


def test_keys_tell_workspaces_apart_and_stay_when_a_workspace_moves(tmp_path):
    first, second = (Workspace.open(tmp_path / folder / "Field, 2nd tour", CONFIG) for folder in ("a", "b"))
    key = artifact_key("round", first)
    assert key.startswith("data-engine-round-field-2nd-tour-")
    assert key != artifact_key("round", second)
    moved = (tmp_path / "a").rename(tmp_path / "c")
    assert artifact_key("round", Workspace(moved / "Field, 2nd tour")) == key


def test_labels_and_reasons_stay_text_in_markdown(written):
    markdown = round_artifacts(written, 1)[0].markdown
    assert EVIL not in markdown
    assert "&lt;script&gt;" in markdown
    assert escaped("a|b *c* <i>\n[x](y)") == "a\\|b \\*c\\* &lt;i&gt; \\[x\\]\\(y\\)"


def test_a_round_that_has_hardly_begun_has_artifacts(workspace):
    workspace.write_round_state(workspace.round_state(3).having(config={"seed": 0}))
    (summary, _, _) = round_artifacts(workspace, 3)
    assert "The round is not finished: tag comes next" in summary.markdown
