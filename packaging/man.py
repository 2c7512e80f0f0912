"""Write the man page of ctdenoise from the help of its commands: ``python packaging/man.py > ctdenoise.1``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from ctdenoise.cli import app
from ctdenoise.version import __version__


def _roff(text: str) -> str:
    """Escape what roff takes for commands."""
    text = text.replace("\\", "\\\\").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each command that does something, with its whole name."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from _commands(one, f"{name} {word}")


def man_page() -> str:
    """Return the man page."""
    root = typer.main.get_command(app)
    lines = [f'.TH CTDENOISE 1 "" "ctdenoise {__version__}"', ".SH NAME", "ctdenoise \\- denoise CT series"]
    lines += [".SH SYNOPSIS", ".B ctdenoise", "COMMAND [OPTIONS]", ".SH DESCRIPTION", _roff(root.help or "")]
    lines.append(".SH COMMANDS")
    for name, command in _commands(root, "ctdenoise"):
        context = typer.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f".SS {_roff(name)} {_roff(usage)}", _roff(command.help or "").replace("\n\n", "\n.PP\n")]
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record:
                lines += [".TP", f".B {_roff(record[0])}", _roff(record[1] or "")]
    lines += [".SH EXIT STATUS", "0 if everything asked for was done, 1 if some input failed, 2 for wrong usage."]
    return "\n".join(line for line in lines if line) + "\n"


if __name__ == "__main__":
    sys.stdout.write(man_page())
