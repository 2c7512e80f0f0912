"""``ctdenoise evaluate``."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctdenoise.cli.common import JsonOption, print_json, show_progress

if TYPE_CHECKING:
    from ctdenoise.evaluation.evaluate import Insert

_NOT_NAMES = ("reference", "noisy")
#: Metrics on the terminal; all are in the files.
_SHOWN = ("psnr", "ssim", "rmse", "vif")


def evaluate(
    output: Annotated[Path, typer.Option("-o", "--output", help="Gets metrics.json, metrics.csv and report.html.")],
    reference: Annotated[
        Path | None, typer.Option(help="DICOM series, NIfTI, NRRD, MHA, NPY, or images: what is right.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="What is to be judged, as PATH or NAME=PATH; repeatable.")
    ] = None,
    noisy: Annotated[Path | None, typer.Option(help="What the tests were made from.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="redcnn, ldct-benchmark or paper, exactly; else every metric in --window.")
    ] = None,
    window: Annotated[
        list[str] | None, typer.Option(help="full, soft-tissue, lung, bone, brain, mediastinum; repeatable.")
    ] = None,
    mask: Annotated[str, typer.Option(help="none, or body: only there.")] = "none",
    insert: Annotated[
        list[str] | None,
        typer.Option(help="Of a phantom: ROW,COLUMN,RADIUS of an insert, in pixels and mm; repeatable."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="natural-ood: models of photographs on the paper's benches in --data.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Of --suite: with a folder for each data set.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Of --suite: name of a model that ships, or a model folder; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how good images are: fidelity to a reference, CT physics, and a report with pictures.

    Slices are paired by their source images, else by position. Without --reference, physics only.
    """
    if suite or data or model:
        if suite != "natural-ood" or data is None or reference or noisy or test:
            raise typer.BadParameter("expected --suite natural-ood and --data, without images to compare")
        _suite(data, model or ["natural-gaussian", "natural-srgb"], output, as_json)
        return
    sources = _sources(reference, noisy, test or [])
    from ctdenoise.evaluation.evaluate import USUAL
    from ctdenoise.evaluation.evaluate import evaluate as measure_all
    from ctdenoise.evaluation.metrics import PROTOCOLS, USUAL_WINDOWS, WINDOWS, photograph_rows, usual_rows
    from ctdenoise.evaluation.pairing import align
    from ctdenoise.evaluation.results import write_results
    from ctdenoise.evaluation.stacks import open_stack
    from ctdenoise.io.dicom.archive import opened

    if protocol not in (None, *PROTOCOLS):
        raise typer.BadParameter(f"--protocol: expected one of {', '.join(PROTOCOLS)}, found {protocol}")
    if protocol and window:
        raise typer.BadParameter("--window: a protocol has windows of its own")
    for name in window or ():
        if name not in WINDOWS:
            raise typer.BadParameter(f"--window: expected one of {', '.join(WINDOWS)}, found {name}")
    if protocol and mask != "none":
        raise typer.BadParameter("--mask: a protocol measures everywhere")
    if mask not in ("none", "body"):
        raise typer.BadParameter(f"--mask: expected none or body, found {mask}")
    inserts = [_insert(text) for text in insert or ()]
    with ExitStack() as open_archives, show_progress(as_json) as progress:
        roots = {name: open_archives.enter_context(opened(path)) for name, path in sources.items()}
        aligned = align({name: open_stack(root) for name, root in roots.items()})
        rows = PROTOCOLS[protocol] if protocol else usual_rows(window or USUAL_WINDOWS)
        if aligned.base.is_photograph:
            if protocol or window or inserts or mask != "none":
                raise typer.BadParameter("--protocol, --window, --mask and --insert are for HU; these are photographs")
            rows = photograph_rows()
        if progress:
            progress.start("slices", len(aligned), 0)
        document = measure_all(
            aligned,
            rows,
            protocol=protocol or USUAL,
            mask="body" if mask == "body" else "none",
            inserts=inserts,
            advance=progress.advance if progress else None,
        )
        write_results(document, aligned, output)
    if as_json:
        print_json(document)
        return
    _say(document, output)


def _suite(data: Path, models: list[str], output: Path, as_json: bool) -> None:
    from ctdenoise.evaluation.photographs import natural_ood, suite, suite_table
    from ctdenoise.files import write_whole
    from ctdenoise.inference import Denoiser

    methods = {name: Denoiser.from_pretrained(name).denoise_image for name in models}
    with show_progress(as_json) as progress:
        if progress:
            progress.start("images", sum(bench.count for bench in suite(data)[0]), 0)
        document = natural_ood(data, methods, advance=progress.advance if progress else None)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "suite.json", json.dumps(document, indent=1))
    write_whole(output / "suite.md", suite_table(document) + "\n")
    print_json(document) if as_json else print(suite_table(document))


def _sources(reference: Path | None, noisy: Path | None, tests: list[str]) -> dict[str, Path]:
    """Return what is to be opened, by name; the first is what the others are paired with."""
    sources = {"reference": reference} if reference else {}
    if noisy:
        sources["noisy"] = noisy
    for number, text in enumerate(tests, start=1):
        name, equals, path = text.partition("=")
        # A path may hold an equals sign itself.
        if not equals or Path(text).exists():
            name, path = "test" if len(tests) == 1 else f"test {number}", text
        if name in sources or name in _NOT_NAMES:
            raise typer.BadParameter(f"--test: expected a name for each, found {name} twice")
        sources[name] = Path(path)
    if not sources:
        raise typer.BadParameter("expected --reference, --test or --noisy, found none")
    return sources


def _insert(text: str) -> Insert:
    from ctdenoise.evaluation.evaluate import Insert

    try:
        row, column, radius = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--insert: expected ROW,COLUMN,RADIUS, found {text}") from None
    return Insert(row, column, radius)


def _say(document: dict[str, Any], output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    entries = document["fidelity"]
    shown = [metric for metric in _SHOWN if any(e["metric"] == metric for e in entries)]
    if shown:
        units = {e["metric"]: e["unit"] and f" / {e['unit']}" for e in entries}
        table = Table("window", "image", *(metric.upper() + units[metric] for metric in shown))
        table.title = f"means of {len(document['slices'])} slices"
        for window, image in sorted(
            dict.fromkeys((e["window"], e["image"]) for e in entries),
            key=lambda line: [e["window"] for e in entries].index(line[0]),
        ):
            means = {e["metric"]: e["mean"] for e in entries if (e["window"], e["image"]) == (window, image)}
            table.add_row(window, image, *(_cell(means.get(metric), units[metric]) for metric in shown))
        Console().print(table)
    for warning in document["warnings"]:
        print(f"note: {warning}")
    print(output / "report.html")


def _cell(mean: float | None, unit: str) -> str:
    return "–" if mean is None else f"{mean:.{2 if unit else 4}f}"
