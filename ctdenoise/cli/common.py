"""What commands share: options, JSON, the progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ctdenoise.inference.results import Progress

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
