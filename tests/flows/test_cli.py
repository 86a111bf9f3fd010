"""The command line: exit statuses, one-line errors, output that programs can read."""

import json
import re

import pytest

from data_specs.config import Config, load_config
from flows.cli import COMMANDS, GROUPS, main
from pipeline.claim import claimed
from pipeline.ledger import RoundState
from pipeline.round import STAGES, open_workspace
from pipeline.storage import Storage
from pipeline.workspace import Workspace
from tests.flows.corpus import write_corpus


@pytest.fixture
def finished(tmp_path):
    """A workspace with one finished round, and its configuration."""
    config = write_corpus(tmp_path / "corpus")
    workspace = open_workspace(load_config(str(config)), str(tmp_path / "workspace"))
    state = workspace.round_state(1).having(config=workspace.config.model_dump(mode="json"))
    for stage in STAGES:
        state = state.with_stage(stage, seconds=1.0)
    workspace.write_round_state(state)
    return config, tmp_path / "workspace"


def failure(capsys, *arguments: str) -> tuple[int, str]:
    """Exit status and the one line on standard error."""
    status = main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return status, line


def all_commands() -> list[list[str]]:
    """The words of every command of the command line."""
    one_word = [[command.__name__.replace("_", "-")] for commands in COMMANDS.values() for command in commands]
    return one_word + [[first, second] for first, (_, _, own) in GROUPS.items() for second in own]


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_has_a_help_of_80_columns_with_examples_and_the_same_output_options(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*words, "--help"]) == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    example = lines[lines.index("Examples") + 1]
    assert example.startswith(f"  data-engine {' '.join(words)}")
    assert [line.split("  ")[1] for line in lines[lines.index("Output") + 1 :]] == ["-q, --quiet", "--json", "--debug"]
    options = lines[lines.index("Options") + 1 : lines.index("Output")]
    assert not [line for line in options if re.search(r"<\w+>", line)], (
        "an option without a metavar shows its Python type"
    )


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_has_a_help_with_examples(capsys, group):
    assert main([group, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("Examples") + 1].startswith(f"  data-engine {group} ")


def test_help_has_colours_only_where_they_are_wanted(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["run", "--help"]) == 0
    assert "\x1b[1m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["run", "--help"]) == 0
    assert "\x1b[36m" not in capsys.readouterr().out


def test_without_arguments_the_help_is_shown(capsys):
    assert main([]) == 0
    assert "separate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["run"], "Missing argument 'CONFIG'. (see data-engine run --help)"),
        (["demo", "--rounds", "0"], "greater than or equal to 1"),
        (["run", "nothing.yaml"], "give a YAML file or one of the presets"),
        (["run", "."], "is a folder: give a YAML file that has `corpus: {kind: folder"),
        (["run", "embedded", "--workspace", ""], "an empty path or address was given"),
        (["run", "embedded", "--workspace", "/proc/1"], "no folder can be made at /proc/1"),
        (["serve", "nothing.yaml"], "give a YAML file or one of the presets"),
        (["status", "nowhere"], "is not a workspace"),
        (["report", "nowhere"], "is not a workspace"),
        (["shards", "verify", "nowhere"], "is not a workspace"),
        (["separate", "nothing.wav", "--label", "Bark", "--out", "tracks"], "no file or folder nothing.wav"),
        (["soundscapes", "--sources", "nothing.csv", "--count", "1", "--out", "scenes"], "nothing.csv"),
        (["evaluate", "--pairs", "nothing.csv", "--root", ".", "--out", "m.json"], "nothing.csv"),
        (
            ["evaluate", "--scenes", ".", "--out", "m.json"],
            "has no truth.csv: give a folder that",
        ),
        (["separate", "file", "--label", "", "--out", "tracks"], "a label needs letters or digits"),
        (["experiment", "gap", "--sources", "nothing.csv"], "no file nothing.csv"),
        (["evaluate", "--pairs", "file", "--out", "."], "is a folder: give the name of a file as --out"),
        (
            ["soundscapes", "--sources", "builtin", "--count", "1", "--out", "file/scenes"],
            "file is a file, not a folder",
        ),
        (["separate", "file", "--label", "Bark", "--out", "file"], "file is a file, not a folder: give another --out"),
        (["pretrain", "--out", "weights", "--scratch", "file"], "file is a file, not a folder: give another --scratch"),
    ],
)
def test_errors_of_the_user_are_one_line_and_status_2(capsys, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    status, line = failure(capsys, *arguments)
    assert status == 2
    assert text in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_unknown_key_is_named_before_any_work(capsys, tmp_path):
    config = write_corpus(tmp_path / "corpus", gate={"itt": 3})
    status, line = failure(capsys, "run", str(config), "--workspace", str(tmp_path / "workspace"))
    assert (status, "gate.itt" in line, "itt_db" in line) == (2, True, True)
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("own.yaml", b"", "own.yaml is empty: say at least where the recordings are"),
        ("own.yaml", "corpus: {path: Straße}".encode("latin-1"), "own.yaml is not UTF-8 text: save it as UTF-8"),
        ("own.yaml", b"corpus: {path: field}", "the built-in sounds have no files: add kind, such as folder"),
        ("own.yaml", b"corpus: field", "own.yaml: corpus must hold keys and values, got 'field'"),
        ("own.yaml", b"model: {checkpoint: nowhere}", "no checkpoint: nowhere/config.json is missing"),
        ("own.csv", b"path,labels", "own.csv is a list of clips: give it as --clips"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told_before_any_work(capsys, tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    status, line = failure(capsys, "run", str(tmp_path / name), "--workspace", str(tmp_path / "workspace"))
    assert (status, text in line) == (2, True), line
    assert not (tmp_path / "workspace").exists()


def test_a_workspace_where_somebody_works_is_told_before_the_flow_starts(capsys, tmp_path):
    config = write_corpus(tmp_path / "corpus")
    with claimed(Storage(tmp_path / "workspace"), purpose="run"):
        status, line = failure(capsys, "run", str(config), "--workspace", str(tmp_path / "workspace"))
    assert status == 2
    assert "is in use by another run" in line
    assert "if that machine is down, its claim lapses within 120 s" in line


@pytest.mark.parametrize("command", ["run", "serve"])
@pytest.mark.parametrize("gone", ["scenes.csv", "takedown.csv"])
def test_a_list_that_is_not_there_is_named_before_any_work(capsys, tmp_path, command, gone):
    config = write_corpus(tmp_path / "corpus", takedown="takedown.csv")
    (tmp_path / "corpus" / "takedown.csv").write_text("path\n")
    (tmp_path / "corpus" / gone).unlink()
    status, line = failure(capsys, command, str(config), "--workspace", str(tmp_path / "workspace"))
    assert (status, gone in line) == (2, True)
    assert not (tmp_path / "workspace").exists()


def test_a_fault_is_status_1_and_debug_shows_where(capsys, finished):
    _, workspace = finished
    (workspace / "rounds" / "001" / "round.json").write_text("{", encoding="utf-8")
    status, line = failure(capsys, "status", str(workspace))
    assert (status, "--debug" in line) == (1, True)
    assert main(["status", str(workspace), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_finished_workspace_is_only_summed_up(capsys, finished):
    config, workspace = finished
    assert main(["run", str(config), "--workspace", str(workspace)]) == 0
    printed = capsys.readouterr()
    assert "All rounds are finished" in printed.err
    report = workspace / "rounds" / "001" / "report" / "index.html"
    assert printed.out.splitlines()[-1] == f"Report: {report.as_uri()}", "terminals make a link of it"


def test_a_workspace_of_another_configuration_is_refused(capsys, finished):
    config, workspace = finished
    config.write_text(config.read_text("utf-8") + "seed: 7\n", encoding="utf-8")
    status, line = failure(capsys, "run", str(config), "--workspace", str(workspace))
    assert status == 2
    assert "was begun with another configuration (seed differs)" in line


def test_status_as_json_has_counts_that_add_up_and_what_comes_next(capsys, finished):
    _, workspace = finished
    assert main(["status", str(workspace), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    for counts in content["clips"].values():
        assert counts["inputs"] == counts["kept"] + counts["dropped"] + counts["failed"] > 0
    assert [state["state"] for state in content["rounds"]] == ["finished"]
    assert content["resume"] is None


def test_quiet_leaves_only_the_result_and_json_only_a_document(capsys, finished):
    config, workspace = finished
    report = str(workspace / "rounds" / "001" / "report" / "index.html")
    assert main(["run", str(config), "--workspace", str(workspace), "--quiet"]) == 0
    assert capsys.readouterr() == (f"{report}\n", "")
    assert main(["--json", "run", str(config), "--workspace", str(workspace)]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == report


def test_a_round_that_does_not_exist_is_refused(capsys, finished):
    _, workspace = finished
    status, line = failure(capsys, "report", str(workspace), "--round", "4")
    assert (status, "its rounds: 1" in line) == (2, True)


def test_a_round_that_is_not_finished_is_told_by_report_and_by_shards_verify(capsys, tmp_path):
    workspace = Workspace.open(tmp_path / "workspace", Config())
    workspace.write_round_state(RoundState(number=1, config={"seed": 0}).with_stage("tag", seconds=1.0))
    assert main(["shards", "verify", workspace.uri]) == 0
    assert capsys.readouterr().out == "round 1 has no shards yet (stopped at calibrate)\n"
    assert main(["report", workspace.uri]) == 0
    assert capsys.readouterr().err.startswith("Round 1 is not finished (stopped at calibrate): ")


def test_doctor_finds_the_packages_and_weights(capsys):
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["problems"] == []
    assert facts["packages"]["torch"]
    assert facts["weights"]["embedded"]
