"""Make a page for each command from its own help."""

from __future__ import annotations

import re

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from ctdenoise.cli import app

FOLDER = "reference/commands"
PROGRAM = "ctdenoise"


def command_pages() -> dict[str, str]:
    """Return the path and text of each page: one for all commands, one for each command or group of commands."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name=PROGRAM)
    whole = get_docs_for_click(obj=command, ctx=context, name=PROGRAM)
    first, *rest = re.split(r"^(?=## `)", whole, flags=re.MULTILINE)
    pages = {}
    for text in rest:
        name = re.match(rf"## `{PROGRAM} ([\w-]+)`", text)
        assert name is not None, text[:80]
        pages[f"{FOLDER}/{name[1]}.md"] = re.sub(r"^#(#+ )", r"\1", text, flags=re.MULTILINE)
    linked = re.sub(r"^\* `(\w[\w-]*)`(?=:)", r"* [`\1`](\1.md)", first, flags=re.MULTILINE)
    for text in rest:  # whole sentences in place of typer's shortened ones
        name, summary = re.match(rf"## `{PROGRAM} ([\w-]+)`\n\n(.*)", text).groups()  # type: ignore[union-attr]
        linked = re.sub(rf"(\[`{name}`\]\({name}\.md\)): .*", lambda m, s=summary: f"{m[1]}: {s}", linked)
    return {f"{FOLDER}/index.md": linked, **pages}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, text in command_pages().items():
        files.append(File.generated(config, name, content=text))
    return files
