"""The command line: parse, call, print. Heavy packages are imported only by the commands that need them."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ctdenoise.cli import (
    audit,
    benchmark,
    bundle,
    cohort,
    container,
    datasets,
    demo,
    denoise,
    evaluate,
    features,
    inspect,
    models,
    serve,
    simulate,
    train,
)
from ctdenoise.cli.process import silence_pydicom
from ctdenoise.errors import InputError
from ctdenoise.version import __version__


class _Commands(TyperGroup):
    """The commands, with usage errors in plain words."""

    def invoke(self, ctx: Any) -> Any:
        """Parse and call."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "message"):  # a usage error, whose class typer does not export
                error.message = _plain(str(error.message), getattr(error, "ctx", None))
            raise


def _plain(message: str, context: typer.Context | None) -> str:
    """Return what typer says of wrong usage, without pydantic's prefix, and with what is expected."""
    if message.startswith("Got unexpected extra argument") and context:
        inputs = [p.metavar for p in context.command.params if p.param_type_name == "argument"]
        if inputs == ["INPUT"]:
            return f"{message}: expected one INPUT; give the folder that holds all, or start the command for each"
    return message.removeprefix("Value error, ")


app = typer.Typer(
    cls=_Commands,
    help="Denoise CT series: DICOM in, derived DICOM out. Not for diagnostic use.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(denoise.run)
app.command()(inspect.inspect)
app.command()(simulate.simulate)
app.command()(evaluate.evaluate)
app.command()(audit.audit)
app.command()(features.features)
app.command()(demo.demo)
app.command()(benchmark.benchmark)
app.command(context_settings=train.PASS_ON)(train.train)
app.command(context_settings=train.PASS_ON)(train.export)
app.command()(bundle.bundle)
app.command()(container.container)
app.command()(serve.serve)
app.add_typer(cohort.app, name="cohort")
app.add_typer(datasets.app, name="datasets")
app.add_typer(models.app, name="models")


def main() -> None:
    """Run the command line."""
    silence_pydicom()
    # What schedulers and containers send first ends a run as Ctrl-C does: with a manifest, without a lock.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except InputError as error:
        print(f"ctdenoise: {error}", file=sys.stderr)
        if error.see:
            print(f"See: {error.see.address}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # e.g. an output that cannot be written
        print(f"ctdenoise: {error.filename}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit
