"""Workspace: typed files in fixed places, and one configuration each."""

import json
import pickle
import time

import pyarrow.parquet as pq
import pytest

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip, StageCounts, TaggedClip, Track
from pipeline.ledger import code_version
from pipeline.record_files import ROWS_IN_MEMORY
from pipeline.workspace import STAGES, RoundState, Workspace


def a_track(clip_id: str, index: int = 0, **fields) -> Track:
    return Track(track_id=f"{clip_id}{index}", clip_id=clip_id, label="Rain", index=index, tier="itt", **fields)


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "workspace", Config())


def test_clips_tags_and_tracks_come_back_as_they_were_written(workspace):
    clips = [
        Clip(clip_id="a", path="ä.wav", labels=("Rain",)),
        Clip(clip_id="b", path="b", outcome="failed", reason="x"),
    ]
    tags = [TaggedClip(clip_id="a", labels=("Rain", "Bark"), scores=(1.0, 0.5))]
    workspace.write_clips("natural", clips)
    workspace.commit_tags(1, "u1", tags)
    workspace.commit_unit(1, "u1", [a_track("a")], b"tar")
    assert workspace.clips("natural") == clips
    assert workspace.kept_clips("natural") == clips[:1]
    assert workspace.tags(1) == workspace.unit_tags(1, "u1") == tags
    assert workspace.tagged_units(1) == {"u1"}
    assert workspace.tracks(1) == workspace.unit_tracks(1, "u1") == [a_track("a")]


def test_a_clip_table_of_any_length_comes_back_in_its_order(workspace):
    clips = [Clip(clip_id=str(number), path="a.wav") for number in range(2 * ROWS_IN_MEMORY + 1)]
    workspace.write_clips("natural", iter(clips))
    assert list(workspace.iter_clips("natural")) == clips
    assert workspace.count_clips("natural") == len(clips)


def test_tables_hold_the_rows_of_the_records(workspace):
    clips = [Clip(clip_id=str(number), path="x.wav", labels=("Rain",)) for number in range(3)]
    assert list(workspace.clip_tables("natural")) == list(workspace.track_tables(1)) == []
    workspace.write_clips("natural", clips)
    for unit in ("u1", "u2"):
        workspace.commit_unit(1, unit, [a_track(unit)], None)
    rows = [row for table in workspace.clip_tables("natural") for row in table.to_pylist()]
    assert [Clip(**row) for row in rows] == clips
    assert [table["clip_id"].to_pylist() for table in workspace.track_tables(1)] == [["u1"], ["u2"]]


def test_before_anything_is_written_everything_is_empty(workspace):
    assert workspace.clips("natural") == workspace.tags(1) == workspace.tracks(1) == workspace.shards(1) == []
    assert workspace.round_numbers() == []
    assert workspace.count_clips("natural") == 0
    assert not workspace.has_clips("natural")
    assert workspace.round_state(1) == RoundState(number=1)


def test_manifests_open_with_plain_pyarrow_and_read_like_the_record(workspace):
    workspace.commit_unit(1, "u1", [a_track("a", re_sdr_db=12.5)], None)
    table = pq.read_table(workspace.storage.local_path / "rounds/001/tracks")
    assert table.column_names[:3] == ["track_id", "clip_id", "label"]
    assert table.to_pylist()[0]["re_sdr_db"] == 12.5


def test_a_shard_counts_only_when_its_manifest_part_is_there(workspace):
    workspace.commit_unit(1, "u1", [a_track("a")], b"tar")
    workspace.storage.write_bytes("rounds/001/shards/u2.tar", b"killed before the manifest")
    assert workspace.shards(1) == ["u1.tar"]
    assert workspace.committed_units(1) == {"u1"}
    workspace.discard_unit(1, "u1")
    assert workspace.shards(1) == []
    assert workspace.committed_units(1) == set()


def test_held_out_clips_are_not_training_clips(workspace):
    clips = [Clip(clip_id="a", path="a", split="held_out"), Clip(clip_id="b", path="b", split="fold1")]
    workspace.write_clips("single_source", clips)
    assert [clip.clip_id for clip in workspace.training_clips()] == ["b"]
    assert [clip.clip_id for clip in workspace.held_out_clips()] == ["a"]


def test_the_clips_of_another_configuration_are_refused_with_the_keys_that_differ(workspace):
    workspace.write_clips("natural", [])
    other = Config.model_validate({"seed": 1, "audio": {"silence_db": -60}, "gate": {"itt_db": 5.0}})
    with pytest.raises(UserError, match=r"another configuration \(audio.silence_db, seed differ\): use that one"):
        Workspace.open(workspace.uri, other)


def test_what_clips_do_not_depend_on_may_change_for_the_next_round(workspace):
    workspace.write_clips("natural", [])
    other = Config.model_validate({"gate": {"itt_db": 5.0}, "train": {"steps": 7}})
    assert workspace.changed_keys(other) == ["gate.itt_db", "train.steps"]
    assert Workspace.open(workspace.uri, other).config == other


def test_a_round_of_another_configuration_is_set_aside_until_its_configuration_comes_back(workspace):
    ours, theirs = Config(), Config.model_validate({"gate": {"itt_db": 5.0}})
    begun = RoundState(number=1, config=ours.model_dump(mode="json"), finished_before=0)
    workspace.write_round_state(begun)
    assert workspace.set_aside(ours) == set()
    assert workspace.set_aside(theirs) == {1}
    other = RoundState(number=2, config=theirs.model_dump(mode="json"), finished_before=0)
    workspace.write_round_state(other)
    assert workspace.set_aside(ours) == {2}
    workspace.write_round_state(other.having(finished=STAGES))
    assert workspace.set_aside(ours) == workspace.set_aside(theirs) == {1}


def test_a_workspace_of_a_version_with_fewer_keys_can_be_used(workspace):
    workspace.write_clips("natural", [])
    content = json.loads(workspace.storage.read_bytes("workspace.json"))
    del content["config"]["tag"]["unit_clips"], content["config"]["workers"]
    workspace.storage.write_bytes("workspace.json", json.dumps({**content, "config_hash": "of then"}).encode())
    assert workspace.changed_keys(Config()) == []
    assert Workspace.open(workspace.uri, Config()).config == Config()


def test_workers_rounds_and_report_may_change(workspace):
    workspace.write_clips("natural", [])
    config = Config.model_validate({"rounds": 7, "workers": {"separate_workers": 3}})
    assert Workspace.open(workspace.uri, config).uri == workspace.uri


def test_a_workspace_without_clips_takes_on_a_corrected_configuration(workspace):
    corrected = Config.model_validate({"corpus": {"kind": "folder", "path": "right"}})
    assert Workspace.open(workspace.uri, corrected).config == corrected


def test_a_folder_that_is_no_workspace_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match="is not a workspace"):
        Workspace(tmp_path).config  # noqa: B018 - reading it is the test


def test_the_round_state_is_plain_json_with_counts_that_add_up(workspace):
    counts = StageCounts(inputs=3, kept=2, dropped=1, reasons={"one label": 1})
    state = RoundState(number=1, config={"seed": 0}).with_stage("tag", seconds=1.23456, counts={"tag": counts})
    workspace.write_round_state(state)
    content = json.loads(workspace.storage.read_bytes("rounds/001/round.json"))
    assert content["state"] == "started"
    assert content["counts"]["tag"]["dropped"] == 1
    assert content["timings_s"] == {"tag": 1.235}
    assert workspace.round_state(1) == state
    assert workspace.round_numbers() == [1]


def test_a_state_knows_its_next_stage():
    state = RoundState(number=1)
    assert (state.state, state.next_stage) == ("new", "tag")
    for stage in STAGES:
        state = state.having(failure="tag: broken").with_stage(stage, seconds=0)
        assert not state.failure
    assert (state.state, state.next_stage, state.finished) == ("finished", None, STAGES)
    assert RoundState(number=1, failure="tag: broken").state == "failed"


def test_the_current_checkpoint_is_the_last_promoted_one_before_the_round(workspace):
    for number, promoted in ((1, True), (2, False), (3, True)):
        workspace.write_round_state(RoundState(number=number, promotion={"promoted": promoted, "reason": ""}))
    first, third = (str(workspace.local_folder(number, "checkpoint")) for number in (1, 3))
    assert workspace.current_checkpoint(before_round=1) == "embedded"
    assert workspace.current_checkpoint(before_round=2) == first
    assert workspace.current_checkpoint(before_round=3) == first
    assert workspace.current_checkpoint() == third


def test_a_folder_is_published_only_when_it_was_written_whole(workspace):
    with workspace.writing_folder(1, "checkpoint") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text("1")
    assert (workspace.local_folder(1, "checkpoint") / "deep" / "a.txt").read_text() == "1"
    with pytest.raises(ZeroDivisionError), workspace.writing_folder(2, "checkpoint") as folder:
        (folder / "a.txt").write_text(str(1 / 0))
    assert not workspace.storage.exists("rounds/002")


def test_a_bucket_s_folder_that_was_written_again_is_copied_again(s3):
    workspace = Workspace.open(s3, Config())
    for content in (b"one", b"two"):
        time.sleep(1.1)  # the store's clock has seconds
        with workspace.writing_folder(1, "checkpoint") as folder:
            (folder / "separator.safetensors").write_bytes(content)
        assert (workspace.local_folder(1, "checkpoint") / "separator.safetensors").read_bytes() == content


def test_a_workspace_can_be_sent_to_another_process(workspace):
    workspace.write_clips("natural", [Clip(clip_id="a", path="a")])
    assert pickle.loads(pickle.dumps(workspace)).clips("natural")[0].clip_id == "a"


def test_the_code_version_is_short_and_stable():
    assert code_version() == code_version()
    assert len(code_version()) < 40
