"""``ctdenoise datasets``: cards and checks of data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ctdenoise.cli.common import JsonOption, print_json

app = typer.Typer(help="Data sets to train and to test on.", no_args_is_help=True)


@app.command("list")
def datasets_list(as_json: JsonOption = False) -> None:
    """List the data sets there are cards of."""
    from ctdenoise.training.resources import names, resource

    titles = {n: json.loads((resource("datasets", n) / "dataset.json").read_text())["title"] for n in names("datasets")}
    if as_json:
        print_json([{"name": name, "title": title} for name, title in titles.items()])
        return
    for name, title in titles.items():
        print(f"{name:<20} {title}")


@app.command("show")
def datasets_show(name: Annotated[str, typer.Argument(help="Name of a data set.")]) -> None:
    """Show a data set's card: origin, licence, how to obtain, split."""
    from ctdenoise.training.resources import resource

    print((resource("datasets", name) / "README.md").read_text(encoding="utf-8"))


@app.command("prepare")
def datasets_prepare(
    name: Annotated[str, typer.Argument(help="Name of a data set.")],
    path: Annotated[Path, typer.Argument(help="Where its files are.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The datalist; NAME.json if not given.")] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help="CT: a patient to validate with, by PatientID or folder; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what was downloaded and write a MONAI datalist, split by patient."""
    from ctdenoise.training.datasets import prepare, write_datalist

    data = prepare(name, path, validation=validation or None)
    target = output or Path(f"{name}.json")
    write_datalist(data, target)
    if as_json:
        print_json({"datalist": str(target), **{section: len(items) for section, items in data.items()}})
        return
    print(f"{target}: " + ", ".join(f"{len(items)} for {section}" for section, items in data.items()))
