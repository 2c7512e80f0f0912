"""The plan of a cohort: a JSON line for each series, with what is to be done to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ctdenoise.errors import InputError
from ctdenoise.io.transfer_syntax import TransferSyntax

if TYPE_CHECKING:
    from ctdenoise.inference.options import RunOptions

SCHEMA: Literal["ctdenoise-cohort-1"] = "ctdenoise-cohort-1"
#: Environment variable with the secret that pseudonyms depend on; it is never written into a plan.
KEY_VARIABLE = "CTDENOISE_PSEUDONYM_KEY"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedModel(_Entry):
    """The model that a plan was made for."""

    source: str = Field(description="Name of a model that ships, or absolute path of a model folder.")
    sha256: str = Field(description="Of its weights: another model of the same name is refused.")


class PlannedOptions(_Entry):
    """How each series is processed; what an option means, `ctdenoise run --help` says."""

    strength: float | None = Field(default=None, ge=0, le=1)
    full_field: bool = False
    engine: str = "auto"
    transfer_syntax: TransferSyntax = TransferSyntax.EXPLICIT
    classic: bool = False
    drop_private: bool = False
    deidentify: bool = False
    shift_dates: bool = False

    def run_options(self) -> RunOptions:
        """Return the options of a run; the pseudonym key comes from the environment.

        Raises
        ------
        InputError
            If the key is too short.
        """
        from ctdenoise.inference.options import RunOptions
        from ctdenoise.io.dicom.deidentify import Deidentification

        deidentification = None
        if self.deidentify:
            key = os.environ.get(KEY_VARIABLE) or None
            deidentification = Deidentification(key=key, shift_dates=self.shift_dates)
        return RunOptions(
            strength=self.strength,
            transfer_syntax=self.transfer_syntax.value,
            classic=self.classic,
            drop_private=self.drop_private,
            deidentification=deidentification,
        )


class PlannedSeries(_Entry):
    """A series and what is to be done to it."""

    schema_: Literal["ctdenoise-cohort-1"] = Field(default=SCHEMA, alias="schema")
    id: str = Field(
        pattern=r"^[0-9a-f]{16}$",
        description="Hash of the instances' UIDs and sizes, the model and the options; the name of the result.",
    )
    root: str = Field(description="Absolute path of the input that `files` are relative to.")
    files: list[str] = Field(min_length=1)
    slices: int = Field(ge=1, description="Slices, or frames of enhanced CT.")
    rows: int
    columns: int
    bytes: int = Field(description="Size of all files.")
    model: PlannedModel
    options: PlannedOptions

    def line(self) -> str:
        """Return the line of the plan."""
        return self.model_dump_json(by_alias=True) + "\n"


@dataclass(frozen=True)
class PlanEntry:
    """What is kept in memory of a planned series: files are read from the plan when it is its turn.

    Attributes
    ----------
    id, slices, root
        See :class:`PlannedSeries`.
    offset
        Of its line in the plan, bytes.
    """

    id: str
    slices: int
    root: str
    offset: int


def read_plan(path: Path) -> list[PlanEntry]:
    """Read a plan, but for the names of files.

    Raises
    ------
    InputError
        If it cannot be read, is empty, or has a line that is none of a plan.
    """
    roots: dict[str, str] = {}  # one text for all series of an input
    entries = [
        PlanEntry(series.id, series.slices, roots.setdefault(series.root, series.root), offset)
        for offset, series in _lines(path)
    ]
    if not entries:
        raise InputError("expected a plan with a line for each series, found an empty file", path=path)
    return entries


def read_planned(path: Path, offset: int) -> PlannedSeries:
    """Read the line of a plan that begins at an offset.

    Raises
    ------
    InputError
        If it cannot be read, or there is another plan now.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return _parse(path, file.readline())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error


def _lines(path: Path) -> Iterator[tuple[int, PlannedSeries]]:
    try:
        with path.open("rb") as file:
            offset = 0
            for line in file:
                yield offset, _parse(path, line)
                offset += len(line)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error


def _parse(path: Path, line: bytes) -> PlannedSeries:
    try:
        return PlannedSeries.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "line"
        raise InputError(
            f"expected the plan of a cohort, found a line that is none ({where}: {first['msg']})",
            path=path,
            hint="ctdenoise cohort plan writes one",
        ) from error
