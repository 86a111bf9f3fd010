"""Commands about a workspace and its rounds: run them, serve them, look at them.

Each is a plain function with its options in the signature; ``flows.cli`` registers them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data_specs.config import load_config
from data_specs.errors import UserError
from flows.completion import complete_config
from flows.console import Opening, terminal_progress
from flows.output import browsable, mode, note, result

if TYPE_CHECKING:
    from pipeline.workspace import Workspace

ConfigName = Annotated[
    str,
    typer.Argument(metavar="CONFIG", help="YAML file, or the name of a preset.", autocompletion=complete_config),
]
WorkspaceUri = Annotated[
    str, typer.Option("--workspace", metavar="URI", help="Folder or s3:// URI; made when it is not there.")
]
WorkspaceArgument = Annotated[str, typer.Argument(metavar="WORKSPACE", help="Folder or s3:// URI.")]
ClipList = Annotated[
    str | None, typer.Option(metavar="LIST", help="Clip list (CSV, Parquet) instead of the configured corpus.")
]
RoundNumber = Annotated[int | None, typer.Option("--round", metavar="N", min=1, help="Which round.")]
Rounds = Annotated[int, typer.Option(metavar="N", min=1, help="Rounds that the workspace shall have.")]
RoundsOrConfigured = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Rounds that the workspace shall have; else CONFIG's number.")
]


def demo(
    workspace: WorkspaceUri = "./demo",
    rounds: Rounds = 2,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer scenes and steps: a look at the loop only.")] = False,
) -> None:
    """The whole loop on built-in soundscapes with the shipped models: no downloads, minutes on two cores.

    Each round tags, separates, gates and shards the scenes, trains the separator on the kept tracks, and keeps the
    better separator. A demo that was cut off continues.

    Examples::

        data-engine demo
        data-engine demo --rounds 3                      # one round more
        data-engine demo --quick --workspace quick-demo  # smaller, for a look
    """
    preset = "demo-quick" if quick else "demo"
    config = load_config(preset)
    note(
        f"Demo on {config.corpus.count} built-in scenes with the shipped models, no downloads; rounds: {rounds}.\n"
        f"A demo that was cut off continues. Workspace: {workspace}"
    )
    _run(preset, workspace, clips=None, rounds=rounds)
    note(
        "Try:\n"
        f"  data-engine status {workspace}\n"
        f"  data-engine shards verify {workspace}\n"
        f"  data-engine separate RECORDING.wav --label Bark --label Rain --out tracks --checkpoint {workspace}\n"
        "  data-engine run embedded --clips YOUR_CLIPS.csv --workspace ./workspace"
    )


def run(
    config: ConfigName,
    clips: ClipList = None,
    rounds: RoundsOrConfigured = None,
    workspace: WorkspaceUri = "./workspace",
) -> None:
    """Run rounds on your corpus in this process; a second call continues, or adds rounds.

    Examples::

        data-engine run corpus.yaml --workspace workspace
        data-engine run corpus.yaml --workspace workspace --rounds 4  # go on
        data-engine run embedded --clips clips.csv --workspace s3://bucket/workspace
    """
    _run(config, workspace, clips=clips, rounds=rounds)


def _run(config: str, workspace: str, *, clips: str | None, rounds: int | None) -> None:
    from flows.status import absolute, absolute_config, overrides_of, rounds_to_run, summary
    from flows.tables import print_summary
    from pipeline.claim import check_free
    from pipeline.intake import check_inputs
    from pipeline.workspace import Workspace

    config = absolute_config(config)
    clips = absolute(clips) if clips else None
    settings = load_config(config, overrides_of(clips))
    opened = Workspace(absolute(workspace))
    check_inputs(opened, settings)
    wanted = rounds_to_run(opened, settings, rounds=rounds)
    if wanted or settings.takedown:
        opened.storage.check_writable()  # this and the next not after half a minute
        check_free(opened.storage)
        with _telling_where_it_stops(opened, rounds), Opening(terminal_progress(), "start the flow") as progress:
            from flows.prefect_settings import configure_prefect, start_server

            configure_prefect(log_level="CRITICAL")
            start_server()
            from flows.data_engine import run_in_process

            run_in_process(progress, config=config, workspace=opened.uri, clips=clips, rounds=rounds)
    if not wanted:
        note("All rounds are finished: nothing to do.")
    content = summary(opened, rounds=rounds)
    report = _report_path(opened, opened.round_numbers()[-1])

    def show() -> None:
        print_summary(content)
        print(f"Report: {browsable(report)}")

    result({**content, "report": report}, text=show, brief=report)


@contextmanager
def _telling_where_it_stops(workspace: "Workspace", rounds: int | None) -> Iterator[None]:
    """Meanwhile, an interruption is told with the round and the stage that it cut off."""
    from flows.status import where_it_stopped

    try:
        yield
    except KeyboardInterrupt:
        mode().after_interruption = where_it_stopped(workspace, rounds)
        raise


def _report_path(workspace: "Workspace", round_number: int) -> str:
    return f"{workspace.round_storage(round_number).uri}/report/index.html"


def serve(
    config: ConfigName,
    cron: Annotated[str, typer.Option(metavar="LINE", help="When to run, as a cron line.")] = "0 2 * * *",
    clips: ClipList = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds that every run adds.")] = 1,
    workspace: WorkspaceUri = "./workspace",
) -> None:
    """Register the Prefect deployment `nightly` and serve it until interrupted.

    Examples::

        data-engine serve corpus.yaml --workspace workspace --cron "0 2 * * *"
    """
    from flows.prefect_settings import configure_prefect
    from flows.status import absolute, absolute_config, overrides_of
    from pipeline.intake import check_inputs
    from pipeline.workspace import Workspace

    config = absolute_config(config)
    clips = absolute(clips) if clips else None
    check_inputs(Workspace(absolute(workspace)), load_config(config, overrides_of(clips)))  # not at night
    configure_prefect(log_level="INFO", own_home=False)
    from flows.deployment import serve_nightly

    mode().after_interruption = "the deployment is not served any more"
    serve_nightly(config=config, clips=clips, rounds=rounds, workspace=absolute(workspace), cron=cron)


def status(workspace: WorkspaceArgument) -> None:
    """Rounds, counts, and what a resume would do.

    Examples::

        data-engine status workspace
        data-engine status s3://bucket/workspace --json
    """
    from flows.status import summary
    from flows.tables import print_summary, resume_line
    from pipeline.workspace import Workspace

    content = summary(Workspace(workspace))
    result(content, text=lambda: print_summary(content), brief=resume_line(content["resume"]))


def report(workspace: WorkspaceArgument, round_number: RoundNumber = None) -> None:
    """Write the report of a round again (the last one by default) and print its address (--quiet: its path).

    Examples::

        data-engine report workspace
        data-engine report workspace --round 1
    """
    from pipeline.report import write_report
    from pipeline.workspace import Workspace

    opened = Workspace(workspace)
    number = _rounds_of(opened, round_number)[-1]

    stage = opened.round_state(number).next_stage
    path = write_report(opened, number, terminal_progress())
    if stage not in (None, "report"):
        note(f"Round {number} is not finished (stopped at {stage}): the report shows what there is.")
    result({"round": number, "next_stage": stage, "report": path}, text=browsable(path), brief=path)


def verify_shards(workspace: WorkspaceArgument, round_number: RoundNumber = None) -> None:
    """Check the shards of a round (of every round by default) against its manifest; status 1 when one is damaged.

    Examples::

        data-engine shards verify workspace
        data-engine shards verify workspace --round 2
    """
    from pipeline.shards import verify_round
    from pipeline.workspace import Workspace

    opened = Workspace(workspace)
    progress = terminal_progress()
    rounds: list[dict[str, Any]] = [
        {
            "round": number,
            "next_stage": opened.round_state(number).next_stage,
            "shards": len(opened.shards(number)),
            "problems": verify_round(opened, number, progress),
        }
        for number in _rounds_of(opened, round_number)
    ]
    problems = [f"  {problem}" for one in rounds for problem in one["problems"]]
    lines = list(map(_verified, rounds))
    result({"rounds": rounds}, text="\n".join(lines + problems), brief="\n".join(problems))
    if problems:
        raise typer.Exit(1)


def _verified(one: dict[str, Any]) -> str:
    if one["next_stage"] in ("tag", "calibrate", "separate") and not one["shards"] and not one["problems"]:
        return f"round {one['round']} has no shards yet (stopped at {one['next_stage']})"
    return f"round {one['round']}: {one['shards']} shards, {len(one['problems'])} problems"


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


def doctor() -> None:
    """What is installed, which weights are found, GPUs; status 1 when something is missing.

    Examples::

        data-engine doctor
        data-engine doctor --json
    """
    with terminal_progress().task("look at the installation", None):
        from flows.doctor import examine
        from flows.tables import print_doctor

        facts = examine()
    result(facts, text=lambda: print_doctor(facts), brief="\n".join(f"problem: {line}" for line in facts["problems"]))
    if facts["problems"]:
        raise typer.Exit(1)
