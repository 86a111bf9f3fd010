"""The command ``plan``: what a round will take, from figures that were measured here or on another machine.

Example::

    data-engine plan embedded --clips 2100000 --labels-per-clip 2.3 --gpus 8
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data_specs.config import Config, load_config
from data_specs.errors import UserError
from flows.completion import complete_config
from flows.console import terminal_progress
from flows.output import result

if TYPE_CHECKING:
    from pipeline.estimate import Estimate, Job
    from pipeline.throughput import Throughput


def plan(
    config: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="YAML file, or the name of a preset.", autocompletion=complete_config),
    ] = "embedded",
    clips: Annotated[int, typer.Option(metavar="N", min=1, help="Clips of the configured length.")] = 100_000,
    labels_per_clip: Annotated[float, typer.Option(metavar="X", min=1.0, help="Mean labels of a clip.")] = 2.3,
    gpus: Annotated[int, typer.Option(metavar="N", min=1, help="Devices like the measured one.")] = 1,
    unlabelled: Annotated[
        float | None,
        typer.Option(metavar="SHARE", min=0, max=1, help="Clips that the tagger hears. Default: all of a folder."),
    ] = None,
    kept: Annotated[float, typer.Option(metavar="SHARE", min=0, max=1, help="Tracks that pass the gate.")] = 0.5,
    gpu_hour_price: Annotated[float | None, typer.Option(metavar="PRICE", min=0, help="Of one device.")] = None,
    gb_month_price: Annotated[float | None, typer.Option(metavar="PRICE", min=0, help="Of storage.")] = None,
    measured: Annotated[Path | None, typer.Option(metavar="JSON", help="Figures of `--save`: measure nothing.")] = None,
    save: Annotated[Path | None, typer.Option(metavar="JSON", help="Keep the measured figures.")] = None,
) -> None:
    """Estimate time, GPU-hours, storage and cost of a round, and say which stage bounds it.

    Measures the configured models on this machine for a minute or two, on its GPU if it has one.

    Examples::

        data-engine plan corpus.yaml --clips 2100000 --gpus 8 --save here.json
        data-engine plan --clips 2100000 --measured here.json --gpu-hour-price 3.5
    """
    settings = load_config(config)
    from pipeline.estimate import Job, estimate

    if save:
        save.parent.mkdir(parents=True, exist_ok=True)
    figures = _read(measured) if measured else _measure(settings)
    if save:
        save.write_text(figures.model_dump_json(indent=2) + "\n", encoding="utf-8")
    job = Job(
        clips=clips,
        labels_per_clip=labels_per_clip,
        devices=gpus,
        cores=os.cpu_count() or 1,
        unlabelled=float(settings.corpus.kind == "folder") if unlabelled is None else unlabelled,
        kept=kept,
        device_hour_price=gpu_hour_price,
        gb_month_price=gb_month_price,
    )
    estimated = estimate(figures, settings, job)
    content = {
        "measured": figures.model_dump(),
        "job": job.model_dump(),
        **estimated.model_dump(),
        "hours": estimated.hours,
        "device_hours": estimated.device_hours,
        "bound": estimated.bound.stage,
    }
    brief = f"{estimated.hours:.1f} h, bound by {estimated.bound.stage}"
    result(content, text="\n".join(lines(figures, job, estimated)), brief=brief)


def lines(figures: "Throughput", job: "Job", estimated: "Estimate") -> list[str]:
    """The estimate for people."""
    hours_of_audio = job.clips * figures.clip_duration_s / 3600
    shown = [
        f"{job.clips:,} clips ({hours_of_audio:,.0f} h of audio), {job.labels_per_clip:g} labels each, "
        f"on {job.devices} x {figures.device}",
        f"Figures: {figures.source}.",
        f"{'stage':<10} {'hours':>10} {'device-hours':>13}  rests on",
    ]
    for stage in estimated.stages:
        shown.append(f"{stage.stage:<10} {stage.hours:>10.2f} {stage.device_hours:>13.2f}  {stage.rests_on}")
    shown += [
        f"{'round':<10} {estimated.hours:>10.2f} {estimated.device_hours:>13.2f}",
        f"Bound by {estimated.bound.stage}: {100 * estimated.bound.hours / estimated.hours:.0f} % of the time.",
        "Stored: " + ", ".join(f"{name} {size:.1f} GB" for name, size in estimated.storage_gb.items()) + ".",
    ]
    if estimated.compute_price is not None:
        shown.append(f"Devices cost {estimated.compute_price:,.2f}.")
    else:
        shown.append("Cost: give --gpu-hour-price and --gb-month-price.")
    if estimated.storage_price_month is not None:
        shown.append(f"Storage costs {estimated.storage_price_month:,.2f} a month.")
    shown.append(
        f"Assumed: {job.unlabelled:.0%} of the clips come without labels, {job.kept:.0%} of the tracks pass the gate, "
        "N devices are N times as fast as one, and none waits."
    )
    if not figures.on_gpu:
        shown.append("Not measured: a GPU. Run with --save on a machine that has one, and give the figures here.")
    return shown


def _measure(config: Config) -> "Throughput":
    import torch

    from pipeline.throughput import measure

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return measure(config, device=device, progress=terminal_progress())


def _read(path: Path) -> "Throughput":
    from pydantic import ValidationError

    from pipeline.throughput import Throughput

    try:
        return Throughput.model_validate_json(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} holds no figures of data-engine plan --save: it is not text") from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "it"
        raise UserError(f"{path} holds no figures of data-engine plan --save: {where} does not fit") from None
