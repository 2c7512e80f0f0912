"""``ctdenoise cohort``: thousands of series, by parts in shells, by Slurm or by dask."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctdenoise.cli.common import EngineName, JsonOption, print_json, show_progress
from ctdenoise.errors import Help, InputError
from ctdenoise.io.folders import require_outside
from ctdenoise.io.transfer_syntax import TransferSyntax

if TYPE_CHECKING:
    from ctdenoise.cohort.outcome import Outcome, WorkSettings
    from ctdenoise.cohort.plan import PlanEntry
    from ctdenoise.cohort.scan import SkippedFiles
    from ctdenoise.cohort.stopping import StopOnSignals

app = typer.Typer(help="Denoise thousands of series on many machines.", no_args_is_help=True)

PlanOption = Annotated[Path, typer.Option("--plan", help="Plan that `ctdenoise cohort plan` wrote.")]
OutputOption = Annotated[Path, typer.Option("-o", "--output", help="Folder of the cohort's results.")]


class Executor(StrEnum):
    """Choices of ``--executor``."""

    HERE = "here"
    DASK = "dask"


@app.command("plan")
def cohort_plan(
    sources: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Folders with DICOM files.")],
    plan: Annotated[Path, typer.Option("-o", "--output", help="The plan, a file with a JSON line for each series.")],
    model: Annotated[str, typer.Option(help="Name of a model that ships, or a model folder.")] = "ct-lowdose",
    strength: Annotated[str, typer.Option(help="From 0 to 1, or auto: measured in each series.")] = "auto",
    full_field: Annotated[bool, typer.Option("--full-field", help="Denoise the air around the body too.")] = False,
    engine: Annotated[EngineName, typer.Option(help="How the network is computed.")] = EngineName("auto"),  # noqa: B008
    transfer_syntax: Annotated[
        TransferSyntax, typer.Option(help="Encoding of derived files; all are lossless.")
    ] = TransferSyntax.EXPLICIT,
    classic: Annotated[bool, typer.Option("--classic", help="Write enhanced CT as classic slices.")] = False,
    drop_private: Annotated[bool, typer.Option("--drop-private", help="Leave private elements out.")] = False,
    deidentify: Annotated[
        bool,
        typer.Option(
            "--deidentify",
            help="Apply the basic profile of PS3.15 annex E. Set CTDENOISE_PSEUDONYM_KEY where the plan is run to give "
            "a patient one pseudonym over all studies.",
        ),
    ] = False,
    shift_dates: Annotated[
        bool, typer.Option("--shift-dates", help="With --deidentify: move dates in place of removing them.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes that read headers; by default one for each processor.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the CT series in INPUT by the headers of its files, and write down what is to be done to each.

    A plan that was cut off continues when it is started again.
    """
    from ctdenoise.cli.denoise import parse_strength
    from ctdenoise.cli.process import available_processors, silence_pydicom
    from ctdenoise.cohort.plan import PlannedOptions
    from ctdenoise.cohort.planning import planned_model, write_plan

    if shift_dates and not deidentify:
        raise typer.BadParameter("--shift-dates: expected --deidentify with it, found none")
    options = PlannedOptions(
        strength=parse_strength(strength),
        full_field=full_field,
        engine=engine.value,
        transfer_syntax=transfer_syntax,
        classic=classic,
        drop_private=drop_private,
        deidentify=deidentify,
        shift_dates=shift_dates,
    )
    planned = write_plan(
        sources,
        plan,
        model=planned_model(model),
        options=options,
        processes=jobs or available_processors(),
        initialise=silence_pydicom,
    )
    found = {"series": planned.series, "slices": planned.slices, "bytes": planned.bytes}
    if as_json:
        skipped = [{"reason": s.reason, "files": s.count, "failed": s.failed} for s in planned.skipped]
        print_json({"plan": str(plan), **found, "skipped": skipped})
    else:
        print(f"{plan}: {planned.series} series, {planned.slices} slices, {planned.bytes / 1e9:.1f} GB")
        _print_skipped(planned.skipped, with_names=not deidentify)
    raise typer.Exit(1 if any(entry.failed for entry in planned.skipped) else 0)


@app.command("run")
def cohort_run(
    plan: PlanOption,
    output: OutputOption,
    part: Annotated[
        str, typer.Option(help="K/N: the K-th of N parts with equal numbers of slices; auto: task of a Slurm array.")
    ] = "1/1",
    executor: Annotated[
        Executor, typer.Option(help="here: in this process; dask: by dask.distributed.")
    ] = Executor.HERE,
    scheduler: Annotated[
        str | None, typer.Option(help="With dask: address of a scheduler; by default workers on this machine.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="With dask on this machine: processes; by default one for four processors."),
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder on a local disk to work in; by default that of TMPDIR.")
    ] = None,
    device: Annotated[str, typer.Option(help="Compute device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Slices in the network at once; 16 on a GPU, else 1.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Process the series of a plan, or of one part of it; what is done already is left alone.

    On SIGTERM the process stops after the slice it is at and exits with 75: the same command goes on.
    """
    if executor is not Executor.DASK and (scheduler or workers):
        raise typer.BadParameter("--scheduler and --workers: expected --executor dask with them, found none")
    from ctdenoise.cohort.outcome import WorkSettings
    from ctdenoise.cohort.parts import Part
    from ctdenoise.cohort.plan import read_plan
    from ctdenoise.cohort.stopping import EXIT_STOPPED, StopOnSignals

    plan, output = plan.absolute(), output.absolute()
    entries = Part.parse(part).of(read_plan(plan))
    require_outside(output, {Path(entry.root) for entry in entries})
    settings = WorkSettings(device, batch_size, scratch and scratch.absolute())
    with StopOnSignals() as stop:
        if executor is Executor.DASK:
            outcomes = _on_dask(entries, plan, output, settings, stop, scheduler=scheduler, workers=workers)
        else:
            outcomes = _here(entries, plan, output, settings, stop)
        counts, problems = _follow(outcomes, len(entries), as_json)
    if as_json:
        print_json({"series": len(entries), **counts, "problems": problems})
    else:
        shown = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items())
        print(f"{output}: {len(entries)} series: {shown}")
    if stop() and counts["stopped"]:
        print("ctdenoise: stopped; the same command continues where this one ended", file=sys.stderr)
        raise typer.Exit(EXIT_STOPPED if stop.received == StopOnSignals.TERMINATE else 130)
    raise typer.Exit(1 if problems else 0)


@app.command("slurm")
def cohort_slurm(
    plan: PlanOption,
    output: OutputOption,
    parts: Annotated[int, typer.Option(min=1, help="Tasks of the array; no more than series.")] = 100,
    at_once: Annotated[int, typer.Option(min=1, help="Tasks that may run at the same time.")] = 20,
    cpus: Annotated[int, typer.Option(min=1, help="Processors of each task.")] = 4,
    gpus: Annotated[int, typer.Option(min=0, max=1, help="GPUs of each task.")] = 0,
    time: Annotated[str, typer.Option(help="Wall time of each task, as sbatch takes it.")] = "04:00:00",
) -> None:
    """Print a batch script for sbatch that runs the parts of a plan as an array."""
    from ctdenoise.cohort.plan import read_plan
    from ctdenoise.cohort.slurm import Array, batch_script

    entries = read_plan(plan)
    require_outside(output.absolute(), {Path(entry.root) for entry in entries})
    parts = min(parts, len(entries))
    print(batch_script(plan, output, Array(parts, min(at_once, parts), cpus, gpus, time)), end="")


@app.command("status")
def cohort_status(plan: PlanOption, output: OutputOption, as_json: JsonOption = False) -> None:
    """Count the series of a plan that are done, running, failed and missing; exits with 0 once all are done."""
    from ctdenoise.cohort.plan import read_plan
    from ctdenoise.cohort.status import cohort_status as look

    entries = read_plan(plan)
    status = look(entries, output)
    if as_json:
        print_json({"series": len(entries), **asdict(status), "eta_seconds": status.eta_seconds})
    else:
        print(
            f"{len(entries)} series: {status.done} done, {status.running} running, {status.missing} missing, "
            f"{status.incomplete} incomplete, {status.failed} failed"
        )
        if status.running:
            eta = "unknown until a series is done" if status.eta_seconds is None else _duration(status.eta_seconds)
            print(f"{status.slices_left} slices left, time left: {eta}")
        for name, reason in status.problems.items():
            print(f"{name}: {reason}", file=sys.stderr)
    raise typer.Exit(0 if status.done == len(entries) else 1)


@app.command("collect")
def cohort_collect(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Folder of the cohort's results.")],
    table: Annotated[Path, typer.Option("-o", "--output", help="The table, .csv or .parquet.")],
) -> None:
    """Write one table of all series: model, strength, noise before and after, seconds, warnings, problems."""
    from ctdenoise.cohort.collect import write_table

    print(f"{table}: {write_table(output, table)} series")


def _here(
    entries: Sequence[PlanEntry], plan: Path, output: Path, settings: WorkSettings, stop: StopOnSignals
) -> Iterator[Outcome]:
    from ctdenoise.cli.process import configure_torch
    from ctdenoise.cohort.part_run import run_here

    configure_torch()
    return run_here(entries, plan, output, settings, stop)


def _on_dask(
    entries: Sequence[PlanEntry],
    plan: Path,
    output: Path,
    settings: WorkSettings,
    stop: StopOnSignals,
    *,
    scheduler: str | None,
    workers: int | None,
) -> Iterator[Outcome]:
    from ctdenoise.cli.process import available_processors, configure_worker

    try:
        from ctdenoise.cohort.dask_run import run_on_dask
    except ImportError:
        raise InputError(
            "dask.distributed is not installed", hint="pip install 'ctdenoise[cohort]'", see=Help.MISSING_PACKAGE
        ) from None
    processors = available_processors()
    count = workers or max(1, processors // 4)
    return run_on_dask(
        entries,
        plan,
        output,
        settings,
        stop,
        scheduler=scheduler,
        workers=count,
        threads=max(1, processors // count),
        configure=configure_worker,
    )


def _follow(outcomes: Iterator[Outcome], series: int, as_json: bool) -> tuple[Counter[str], dict[str, str]]:
    """Show progress; return how many series ended how, and the reason of each that has no complete result."""
    counts: Counter[str] = Counter(complete=0, there_already=0, incomplete=0, failed=0, stopped=0)
    problems = {}
    with show_progress(as_json) as progress, closing(outcomes):  # type: ignore[type-var]
        progress.start("series", series, 0)
        for outcome in outcomes:
            counts["there_already" if outcome.there and not outcome.reason else outcome.status] += 1
            if outcome.reason:
                problems[outcome.id] = outcome.reason
                progress.message(f"{outcome.id}: {outcome.reason}")
            progress.advance()
    return counts, problems


def _print_skipped(skipped: Sequence[SkippedFiles], *, with_names: bool) -> None:
    for entry in skipped:
        first = f"{entry.first}: " if with_names else ""
        print(f"skipped {first}{entry.reason}", file=sys.stderr)
        if entry.count > 1:
            print(f"  and {entry.count - 1} more for the same reason", file=sys.stderr)


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    return f"about {minutes} min" if minutes < 120 else f"about {hours:g} h"
