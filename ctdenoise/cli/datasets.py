"""``ctdenoise datasets``: cards of data sets, and datalists of downloaded ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ctdenoise.cli.common import JsonOption, print_json
from ctdenoise.training.resources import names, resource

app = typer.Typer(help="Data sets for training and tests.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the data set, as in ctdenoise datasets list.")
]


@app.command("list")
def datasets_list(as_json: JsonOption = False) -> None:
    """List the data sets that have a card."""
    titles = {
        n: json.loads((resource("datasets", n) / "dataset.json").read_text(encoding="utf-8"))["title"]
        for n in names("datasets")
    }
    if as_json:
        print_json([{"name": name, "title": title} for name, title in titles.items()])
        return
    for name, title in titles.items():
        print(f"{name:<20} {title}")


@app.command("show")
def datasets_show(name: NameArgument) -> None:
    """Show the card of a data set: origin, licence, how to obtain it, and its split."""
    print((resource("datasets", name) / "README.md").read_text(encoding="utf-8"))


@app.command("prepare")
def datasets_prepare(
    name: NameArgument,
    path: Annotated[Path, typer.Argument(help="Folder of the downloaded files.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File of the datalist; NAME.json by default.")
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(metavar="PATIENT", help="CT: patient to validate with, by PatientID or folder name; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the files of a downloaded data set and write a MONAI datalist, split by patient."""
    from ctdenoise.training.datasets import prepare, write_datalist

    data = prepare(name, path, validation=validation or None)
    target = output or Path(f"{name}.json")
    write_datalist(data, target)
    if as_json:
        print_json({"datalist": str(target), **{section: len(items) for section, items in data.items()}})
        return
    print(f"{target}: " + ", ".join(f"{len(items)} for {section}" for section, items in data.items()))
