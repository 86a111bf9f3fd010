"""Commands about a workspace and its rounds: run them, serve them, look at them.

Each is a plain function with its options in the signature; ``flows.cli`` registers them.
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from data_specs.config import load_config
from data_specs.errors import UserError
from flows.console import print_line, terminal_progress

if TYPE_CHECKING:
    from pipeline.workspace import Workspace

ConfigName = Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file, or the name of a preset.")]
WorkspaceUri = Annotated[str, typer.Option("--workspace", help="Folder or s3:// URI; made when it is not there.")]
WorkspaceArgument = Annotated[str, typer.Argument(metavar="WORKSPACE", help="Folder or s3:// URI.")]
ClipList = Annotated[str | None, typer.Option(help="Clip list (CSV, Parquet) instead of the configured corpus.")]
RoundNumber = Annotated[int | None, typer.Option("--round", min=1, help="Which round.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def demo(
    workspace: WorkspaceUri = "./demo",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that the workspace shall have.")] = 2,
) -> None:
    """The whole loop on built-in soundscapes with the shipped models: no downloads, minutes on two cores."""
    from pipeline.workspace import Workspace

    config = load_config("demo")
    print_line(
        f"Demo: {rounds} rounds on {config.corpus.count} built-in scenes with the shipped models, no downloads.\n"
        "Each round tags, separates, gates and shards the scenes, trains the separator on the kept tracks,\n"
        f"and keeps the better one. Minutes on two cores; a run that was cut off continues. Workspace: {workspace}"
    )
    _run("demo", workspace, clips=None, rounds=rounds)
    print_line(
        "Next:\n"
        f"  data-engine status {workspace} --json\n"
        f"  data-engine shards verify {workspace}\n"
        "  data-engine separate RECORDING.wav --label Bark --label Rain --out tracks"
        f" --checkpoint {Workspace(workspace).current_checkpoint()}\n"
        "  data-engine run embedded --clips YOUR_CLIPS.csv --workspace ./workspace"
    )


def run(
    config: ConfigName,
    clips: ClipList = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds that the workspace shall have.")] = None,
    workspace: WorkspaceUri = "./workspace",
) -> None:
    """Run rounds on your corpus in this process; a second call continues, or adds rounds."""
    _run(config, workspace, clips=clips, rounds=rounds)


def _run(config: str, workspace: str, *, clips: str | None, rounds: int | None) -> None:
    from flows.status import absolute, absolute_config, overrides_of, rounds_to_run, summary
    from flows.tables import print_summary
    from pipeline.workspace import Workspace

    config = absolute_config(config)
    clips = absolute(clips) if clips else None
    settings = load_config(config, overrides_of(clips))
    opened = Workspace(absolute(workspace))
    if opened.exists():
        opened.check_config(settings)
    if rounds_to_run(opened, settings, rounds=rounds):
        from flows.prefect_settings import configure_prefect

        progress = terminal_progress()
        progress.say("Starting the flow ...")
        configure_prefect(log_level="CRITICAL")
        from flows.data_engine import run_in_process

        run_in_process(progress, config=config, workspace=opened.uri, clips=clips, rounds=rounds)
    else:
        print_line("All rounds are finished: nothing to do.")
    print_summary(summary(opened, rounds=rounds))
    print_line(f"Report: {_report_path(opened, opened.round_numbers()[-1])}")


def _report_path(workspace: "Workspace", round_number: int) -> str:
    return f"{workspace.round_storage(round_number).uri}/report/index.html"


def serve(
    config: ConfigName,
    cron: Annotated[str, typer.Option(help="When to run, as a cron line.")] = "0 2 * * *",
    clips: ClipList = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that every run adds.")] = 1,
    workspace: WorkspaceUri = "./workspace",
) -> None:
    """Register the Prefect deployment `nightly` and serve it until interrupted."""
    from flows.prefect_settings import configure_prefect
    from flows.status import absolute, absolute_config, overrides_of

    config = absolute_config(config)
    clips = absolute(clips) if clips else None
    load_config(config, overrides_of(clips))
    configure_prefect(log_level="INFO", own_home=False)
    from flows.deployment import serve_nightly

    serve_nightly(config=config, clips=clips, rounds=rounds, workspace=absolute(workspace), cron=cron)


def status(workspace: WorkspaceArgument, as_json: AsJson = False) -> None:
    """Rounds, counts, and what a resume would do."""
    from flows.status import summary
    from flows.tables import print_summary
    from pipeline.workspace import Workspace

    content = summary(Workspace(workspace))
    if as_json:
        print_line(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print_summary(content)


def report(workspace: WorkspaceArgument, round_number: RoundNumber = None) -> None:
    """Write the report of a round again (the last one by default) and print its path."""
    from pipeline.report import write_report
    from pipeline.workspace import Workspace

    opened = Workspace(workspace)
    print_line(write_report(opened, _rounds_of(opened, round_number)[-1]))


def verify_shards(workspace: WorkspaceArgument, round_number: RoundNumber = None) -> None:
    """Check the shards of a round (of every round by default) against its manifest; status 1 when one is damaged."""
    from pipeline.shards import verify_round
    from pipeline.workspace import Workspace

    opened = Workspace(workspace)
    problems = []
    for number in _rounds_of(opened, round_number):
        found = verify_round(opened, number, terminal_progress())
        print_line(f"round {number}: {len(opened.shards(number))} shards, {len(found)} problems")
        problems += found
    for problem in problems:
        print_line(f"  {problem}")
    if problems:
        raise typer.Exit(1)


def _rounds_of(workspace: "Workspace", round_number: int | None) -> list[int]:
    """The wanted round, or all of them.

    Raises:
        UserError: no workspace, no rounds, or not this one.
    """
    numbers = workspace.round_numbers() if workspace.config else []
    if not numbers or (round_number is not None and round_number not in numbers):
        listed = ", ".join(map(str, numbers)) or "none yet"
        raise UserError(f"{workspace.uri} has no such round (its rounds: {listed}): see data-engine status")
    return numbers if round_number is None else [round_number]


def doctor(as_json: AsJson = False) -> None:
    """What is installed, which weights are found, GPUs; status 1 when something is missing."""
    from flows.doctor import examine
    from flows.tables import print_doctor

    facts = examine()
    if as_json:
        print_line(json.dumps(facts, indent=2))
    else:
        print_doctor(facts)
    if facts["problems"]:
        raise typer.Exit(1)
