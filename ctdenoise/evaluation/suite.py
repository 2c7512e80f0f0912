"""The paper's out-of-distribution benchmarks of photographs (§4.1 and §4.2): synthetic and camera noise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ctdenoise.errors import InputError
from ctdenoise.evaluation.photographs import MethodResult, NoisyDataset, RealPairs, cells, compare, synthetic
from ctdenoise.evaluation.protocols import SuiteName
from ctdenoise.evaluation.record import Record
from ctdenoise.evaluation.tables import markdown
from ctdenoise.version import __version__

if TYPE_CHECKING:
    from ctdenoise.evaluation.filters import Denoise

SCHEMA: Literal["ctdenoise-suite/1"] = "ctdenoise-suite/1"
#: How the folders of data sets begin (letters and digits, lower case), and the names of the data sets.
_SYNTHETIC = {"cbsd68": "cbsd68", "mcm": "mcmaster", "kodak": "kodak24", "urban": "urban100"}
_REAL = {"cc": "cc", "polyu": "polyu", "sidd": "sidd-validation"}
#: The noises and levels of the paper, and two that it does not have: speckle, and salt and pepper.
_NOISES = (
    *(("gaussian", level) for level in (15, 25, 50)),
    *(("spatial gaussian", level) for level in (40, 45, 50, 55)),
    *(("poisson", level) for level in (2, 2.5, 3, 3.5)),
    ("speckle", 25),
    ("salt and pepper", 0.02),
)


class SuiteResult(Record):
    """Results of a suite: what ``suite.json`` contains.

    Attributes
    ----------
    schema_version
        :data:`SCHEMA`; ``schema`` in JSON.
    version, suite
        Version of ctdenoise, name of the suite.
    missing
        Data sets that are absent or incomplete, in words.
    rows
        For each data set, noise and method.
    """

    schema_version: Literal["ctdenoise-suite/1"] = Field(default=SCHEMA, alias="schema")
    version: str
    suite: str
    missing: tuple[str, ...]
    rows: tuple[MethodResult, ...]


def natural_ood(
    folder: Path, methods: Mapping[str, Denoise], *, advance: Callable[[], None] | None = None
) -> SuiteResult:
    """Measure denoisers on the data sets of the paper that are in a folder.

    CBSD68, McMaster, Kodak24 and Urban100 with Gaussian, spatial Gaussian and Poisson noise at the levels of the paper,
    speckle, and salt-and-pepper noise; CC, PolyU and SIDD validation pairs with camera noise.

    Parameters
    ----------
    folder
        Contains a folder for each data set, named after it.
    methods
        Map ``[H, W, 3]`` in [0, 1] to the same, by name.
    advance
        Called after each image with each noise.

    Raises
    ------
    InputError
        If there is none of the data sets, or an image cannot be read.
    """
    datasets, missing = find_datasets(folder)
    rows = [row for dataset in datasets for row in compare(dataset, methods, advance)]
    return SuiteResult(version=__version__, suite=SuiteName.NATURAL_OOD.value, missing=tuple(missing), rows=tuple(rows))


def find_datasets(folder: Path) -> tuple[list[NoisyDataset], list[str]]:
    """Find the data sets in a folder; also return which are absent or incomplete, in words.

    Raises
    ------
    InputError
        If there is none.
    """
    if not folder.is_dir():
        raise InputError("expected a folder that contains a folder for each data set, found none", path=folder)
    datasets: list[NoisyDataset] = []
    missing: list[str] = []
    folders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    for prefix, name in (_SYNTHETIC | _REAL).items():
        found = next((path for path in folders if _normalised(path.name).startswith(prefix)), None)
        if found is None:
            missing.append(f"{name}: no folder")
            continue
        pairs, problem = _noisy_datasets(name, found)
        datasets += pairs
        missing += [problem] if problem else []
    if not datasets:
        raise InputError(
            f"expected folders called {', '.join(_SYNTHETIC | _REAL)}, found none",
            path=folder,
            hint="ctdenoise datasets list says where to get the data sets",
        )
    return datasets, missing


def suite_table(result: SuiteResult) -> str:
    """Return the results as a Markdown table, followed by what is missing."""
    table = markdown([cells(row) for row in result.rows])
    return table + "".join(f"\n\nIncomplete: {problem}." for problem in result.missing)


def _noisy_datasets(name: str, folder: Path) -> tuple[list[NoisyDataset], str | None]:
    """Return a data set with each of its noises, and what of it is missing."""
    # Only a suite needs training, which imports MONAI.
    from ctdenoise.training.datasets import prepare
    from ctdenoise.training.resources import resource

    items = prepare(name, folder, partial=True)["testing"]
    description = json.loads((resource("datasets", name) / "dataset.json").read_text(encoding="utf-8"))
    expected = int(description["sections"]["testing"]["count"])
    problem = f"{name}: {len(items)} of {expected} images" if len(items) != expected else None
    if name in _REAL.values():
        pairs = RealPairs([(item["label"], item["image"]) for item in items])
        return [NoisyDataset(name, "camera", pairs)], problem
    return [synthetic(name, [item["image"] for item in items], *noise) for noise in _NOISES], problem


def _normalised(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
