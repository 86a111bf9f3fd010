"""The tables for people: what became of every clip is said."""

import pytest

from data_specs.config import Config
from data_specs.records import Clip, StageCounts
from flows.status import summary
from flows.tables import print_summary
from pipeline.ledger import RoundState
from pipeline.takedown import WITHDRAWN
from pipeline.workspace import Workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A workspace whose round has tagged its clips."""
    workspace = Workspace.open(tmp_path / "workspace", Config())
    clips = [Clip(clip_id=f"{number:016x}", path=f"/field/{number}.wav", duration_s=10.0) for number in range(5)]
    gone = [clip.model_copy(update={"outcome": "dropped", "reason": WITHDRAWN}) for clip in clips[3:]]
    workspace.write_clips("natural", [*clips[:3], *gone])
    workspace.write_clips("single_source", [clips[0].model_copy(update={"problems": ("truncated",)})])
    tagged = StageCounts(inputs=3, kept=1, dropped=2, reasons={"one label": 2})
    workspace.write_round_state(
        RoundState(number=1, config={"seed": 0}).with_stage("tag", seconds=1.0, counts={"tag": tagged})
    )
    return workspace


def said(workspace: Workspace, capsys) -> list[str]:
    print_summary(summary(workspace))
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def test_the_summary_names_what_ingest_and_tagging_left_out_and_spells_the_tiers_out(workspace, capsys):
    lines = said(workspace, capsys)
    assert "natural clips: 3 kept, 2 dropped, 0 failed; 2 withdrawn by their owners" in lines
    assert "single-source clips: 1 kept, 0 dropped, 0 failed; 1 recording breaks off: 0.wav" in lines
    assert "SST: tracks kept for self-separate training, ITT: for independent-track training." in lines
    assert "tagged in round 1: 1 kept, 2 dropped, 0 failed; 2 one label" in lines
