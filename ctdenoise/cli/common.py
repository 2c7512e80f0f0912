"""What commands share: options, JSON, the progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ctdenoise.inference.results import FolderResult, Progress

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def interrupted() -> typer.Exit:
    """Say what an interrupted command does when started again."""
    print("ctdenoise: interrupted; the same command goes on where this one ended", file=sys.stderr)
    return typer.Exit(130)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


@contextmanager
def show_progress(as_json: bool) -> Iterator[Progress | None]:
    """Show a progress bar on a terminal, nothing in a pipe."""
    if as_json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    class Shown:
        def start(self, name: str, slices: int, done: int) -> None:
            self.task = bar.add_task(name, total=slices, completed=done)

        def advance(self) -> None:
            bar.advance(self.task)

    with Bar(*columns, console=Console(stderr=True)) as bar:
        yield Shown()


def say_outcome(outcome: FolderResult, as_json: bool) -> typer.Exit:
    """Say what came of a run, and return how the command ends."""
    if as_json:
        print_json(
            {
                "series": [{"folder": str(r.folder), "written": r.written, **r.manifest} for r in outcome.results],
                "skipped": [{"file": str(s.path), "reason": s.reason, "failed": s.failed} for s in outcome.skipped],
            }
        )
    else:
        for result in outcome.results:
            _say_result(result.folder, result.manifest, result.written)
        say_skipped([(s.path, s.reason) for s in outcome.skipped])
    return typer.Exit(1 if outcome.failed else 0)


def _say_result(folder: Path, manifest: dict[str, Any], written: int) -> None:
    done, asked = len(manifest["slices"]), manifest["source"]["slices"]
    if written == 0 and manifest["status"] == "complete":
        print(f"{folder}: all {done} slices were there already; --overwrite writes them again")
        return
    clipped = f", {manifest['clipped']} values clipped to what the stored bits hold" if manifest["clipped"] else ""
    if manifest.get("beside"):
        others = ", ".join(manifest["beside"])
        print(f"{folder}: the same series by another model or with other options is in {others}; nothing is mixed")
    strength = f", strength {manifest['strength']:g}" if "strength" in manifest else ""
    engine = f", engine {manifest['engine']}" if "engine" in manifest else ""
    print(
        f"{folder}: {done} of {asked} slices, {written} now in {manifest['seconds']:.1f} s{strength}{engine}{clipped}"
    )
    if manifest["lossy"]:
        print(f"{folder}: {manifest['lossy']} slices come from images that were compressed with loss")
    for failure in manifest["failed"]:
        print(f"ctdenoise: {failure['file']}: {failure['reason']}", file=sys.stderr)


def say_skipped(skipped: list[tuple[Path, str]], *, everything: bool = False) -> None:
    """Name skipped files, or where there are many of a kind one of each."""
    by_reason: dict[str, list[Path]] = {}
    for path, reason in skipped:
        by_reason.setdefault(reason, []).append(path)
    for reason, paths in by_reason.items():
        for path in paths if everything else paths[:1]:
            print(f"skipped {path}: {reason}", file=sys.stderr)
        if not everything and len(paths) > 1:
            print(f"  and {len(paths) - 1} more for the same reason", file=sys.stderr)
