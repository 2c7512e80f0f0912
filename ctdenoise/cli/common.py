"""Shared by commands: options, JSON output, the progress bar, what is printed at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctdenoise.errors import Help

if TYPE_CHECKING:
    from ctdenoise.cli.dicomweb import Stored
    from ctdenoise.inference.manifest import Manifest
    from ctdenoise.inference.results import Progress, RunResult, SeriesResult

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _engine_names() -> list[str]:
    """Return the names of engines without importing torch: each is a module of its name, with _ for -."""
    modules = Path(__file__).parent.parent.joinpath("inference", "engines").glob("[a-z]*.py")
    return ["auto", *sorted(module.stem.replace("_", "-") for module in modules if module.stem != "base")]


EngineName = StrEnum("EngineName", [(name.replace("-", "_").upper(), name) for name in _engine_names()])  # type: ignore[misc]
"""Choices of ``--engine``."""


def interrupted() -> typer.Exit:
    """Say how to continue an interrupted command, and return its exit."""
    print("ctdenoise: interrupted; the same command continues where this one ended", file=sys.stderr)
    return typer.Exit(130)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


class _Messages:
    """Progress in a pipe: messages only, on standard error."""

    def start(self, name: str, slices: int, done: int) -> None:
        """Print nothing."""

    def advance(self) -> None:
        """Print nothing."""

    def message(self, text: str) -> None:
        """Print the message."""
        print(f"ctdenoise: {text}", file=sys.stderr)


@contextmanager
def show_progress(as_json: bool) -> Iterator[Progress]:
    """Show a progress bar on a terminal, and messages only in a pipe or with ``--json``."""
    if as_json or not sys.stderr.isatty():
        yield _Messages()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True))
    task = bar.add_task("", total=None)

    class Shown:
        def start(self, name: str, slices: int, done: int) -> None:
            bar.reset(task, description=name, total=slices, completed=done)

        def advance(self) -> None:
            bar.advance(task)

        def message(self, text: str) -> None:
            bar.console.print(f"ctdenoise: {text}", markup=False, highlight=False)

    with bar:
        yield Shown()


def print_outcome(
    outcome: RunResult, as_json: bool, stored: Stored | None = None, *, report: bool = False
) -> typer.Exit:
    """Print what became of a run, of its reports and of storing its results, and return the exit of the command."""
    skipped = [(s.name, s) for s in outcome.skipped]
    if as_json:
        print_json(
            {
                "series": [
                    {"folder": str(r.folder), "written": r.written, **r.manifest.document()} for r in outcome.results
                ],
                "skipped": [{"file": name, "reason": s.reason, "failed": s.failed} for name, s in skipped],
                **({"stored": asdict(stored)} if stored else {}),
            }
        )
    else:
        for result in outcome.results:
            _print_result(result)
            _print_pages(result, report)
        print_skipped([(name, s.reason) for name, s in skipped])
        if outcome.failed:
            print(f"See: {Help.FAILED_FILES.address}", file=sys.stderr)
    if stored and not as_json:
        print(f"{stored.url}: {stored.images} images stored")
    if stored and stored.problem:
        print(f"ctdenoise: {stored.url}: {stored.problem}; the same command tries again", file=sys.stderr)
    return typer.Exit(1 if outcome.failed or (stored and stored.problem) else 0)


def print_skipped(skipped: Sequence[tuple[str, str]], *, everything: bool = False) -> None:
    """Name skipped files; where many have one reason, only the first."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped:
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        for name in names if everything else names[:1]:
            print(f"skipped {name}: {reason}", file=sys.stderr)
        if not everything and len(names) > 1:
            print(f"  and {len(names) - 1} more for the same reason", file=sys.stderr)


def _print_result(result: SeriesResult) -> None:
    folder, manifest = result.folder, result.manifest
    done, asked = len(manifest.slices), manifest.source.slices
    where = folder / manifest.derived.file if manifest.derived.file else folder
    if result.written == 0 and manifest.status == "complete":
        strength = "" if manifest.strength is None else f", strength {manifest.strength:g}"
        print(f"{where}: all {done} slices were there already{strength}; --overwrite writes them again")
        _print_judgement(where, manifest)
        return
    if manifest.beside:
        others = ", ".join(manifest.beside)
        print(f"{where}: results of the same series with another model or other options are in {others}")
    details = [f"{done} of {asked} slices", f"{result.written} now in {manifest.seconds:.1f} s"]
    if manifest.strength is not None and done:
        details.append(f"strength {manifest.strength:g}")
    if manifest.engine and done:
        details.append(f"engine {manifest.engine}")
    if manifest.clipped:
        details.append(f"{manifest.clipped} values clipped to what the stored bits hold")
    print(f"{where}: {', '.join(details)}")
    if manifest.lossy:
        print(f"{where}: {manifest.lossy} slices were compressed with loss before")
    if manifest.syntax_replaced:
        print(f"{where}: {manifest.syntax_replaced} slices are explicit little endian: their source's cannot be kept")
    _print_judgement(where, manifest)
    for failure in manifest.failed:
        print(f"ctdenoise: {failure.file}: {failure.reason}", file=sys.stderr)


def _print_judgement(where: Path, manifest: Manifest) -> None:
    if manifest.audit:
        print(f"{where}: {manifest.audit.sentence}")
    if manifest.error_bounds:
        print(f"{where}: {manifest.error_bounds.file}: {manifest.error_bounds.sentence}")


def _print_pages(result: SeriesResult, report: bool) -> None:
    """Print the paths of the report, if one was asked for, and of the audit."""
    if report:
        from ctdenoise.evaluation.run_report import report_path

        if report_path(result).exists():
            print(f"report: {report_path(result)}")
    if audit := result.manifest.audit:
        print(f"audit: {(result.folder / audit.file).with_suffix('.html')}")
