"""What a separate stage came to: every clip has one outcome, and what is no track is counted as none."""

from data_specs.config import Config
from data_specs.records import Track
from pipeline.tallies import tally_round
from pipeline.workspace import Workspace


def row(clip_id: str, label: str, **fields) -> Track:
    return Track(track_id=clip_id + label, clip_id=clip_id, label=label, index=0, duration_s=2.0, **fields)


def test_a_clip_without_labels_that_came_to_no_tracks_is_dropped_and_no_track(tmp_path):
    workspace = Workspace.open(tmp_path, Config())
    rows = [
        row("a", "Rain", tier="itt"),
        row("a", "Bark", outcome="dropped", reason="too quiet"),
        row("b", "", source="label_free", outcome="dropped", reason="one label"),
        row("c", "", source="label_free", outcome="failed", reason="not audio"),
    ]
    workspace.commit_unit(1, "0-a", rows, None)
    tally = tally_round(workspace, 1)
    assert (tally.clips.inputs, tally.clips.kept, tally.clips.dropped, tally.clips.failed) == (3, 1, 1, 1)
    assert tally.clips.reasons == {"not audio": 1, "one label": 1}
    assert (tally.tracks.inputs, tally.tracks.kept) == (2, 1)
    assert tally.tiers == {"sst": 0, "itt": 1, "rejected": 1}
    assert tally.kept_s == 2.0
