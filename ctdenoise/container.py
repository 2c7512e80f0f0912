"""One folder in, one folder out: how mercure, MONAI Deploy, XNAT, Kaapana and any container engine call ctdenoise."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ctdenoise.errors import InputError
from ctdenoise.files import write_whole
from ctdenoise.io.transfer_syntax import TransferSyntax
from ctdenoise.models.zoo import DEFAULT_MODEL

if TYPE_CHECKING:
    from ctdenoise.inference import RunOptions, RunResult, SeriesResult
    from ctdenoise.inference.results import Progress

#: Environment variables of input and output folder, by who sets them. mercure sets all three pairs to the same folders.
_FOLDERS = {
    "mercure": ("MERCURE_IN_DIR", "MERCURE_OUT_DIR"),
    "MONAI Deploy": ("MONAI_INPUTPATH", "MONAI_OUTPUTPATH"),
    "MONAI Deploy on Holoscan": ("HOLOSCAN_INPUT_PATH", "HOLOSCAN_OUTPUT_PATH"),
}
#: mercure's description of what it wants, in the input folder.
_TASK = "task.json"
RESULT = "result.json"
_PREFIX = "CTDENOISE_"
#: Folder in the output, the only place that surely can be written; removed at the end.
WORK = ".ctdenoise"
#: Secret that pseudonyms depend on.
_KEY_VARIABLE = "CTDENOISE_PSEUDONYM_KEY"


class ContainerSettings(BaseModel):
    """What is to be done, from options, mercure's task and the environment, in this order of precedence.

    In the environment, each is written in capitals after ``CTDENOISE_``, e.g. ``CTDENOISE_STRENGTH=0.6``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = DEFAULT_MODEL
    strength: float | None = Field(default=None, ge=0, le=1, description="None, written auto, measures it.")
    full_field: bool = False
    engine: str = "auto"
    device: str = "auto"
    batch_size: int | None = Field(default=None, ge=1)
    transfer_syntax: TransferSyntax = TransferSyntax.EXPLICIT
    classic: bool = False
    drop_private: bool = False
    deidentify: bool = False
    shift_dates: bool = False
    partial: Literal["ok", "fail"] = Field(default="fail", description="Exit code where some images failed: 0 or 1.")

    @field_validator("strength", mode="before")
    @classmethod
    def _automatic(cls, value: object) -> object:
        return None if value == "auto" else value

    @classmethod
    def of(
        cls, given: Mapping[str, Any], source: Path, environment: Mapping[str, str] = os.environ
    ) -> ContainerSettings:
        """Gather the settings.

        Parameters
        ----------
        given
            Options; None stands for one that was not given.
        source
            The input folder, where mercure's task may be.
        environment
            Variables that are empty count as absent.

        Raises
        ------
        InputError
            If a setting is unknown or has a value that it cannot have.
        """
        names = {name: f"{_PREFIX}{name.upper()}" for name in cls.model_fields}
        values: dict[str, Any] = {
            name: environment[variable] for name, variable in names.items() if environment.get(variable)
        }
        values |= _task_settings(source / _TASK)
        values |= {name: value for name, value in given.items() if value is not None}
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                raise InputError(f"settings: expected {', '.join(names)}, found {name}", path=source / _TASK) from error
            raise InputError(f"{name}: {first['msg']}, found {first['input']!r}") from error

    def run_options(self) -> RunOptions:
        """Return the options of a run; the pseudonym key comes from the environment."""
        from ctdenoise.inference.options import RunOptions
        from ctdenoise.io.dicom.deidentify import Deidentification

        deidentification = None
        if self.deidentify:
            key = os.environ.get(_KEY_VARIABLE) or None
            deidentification = Deidentification(key=key, shift_dates=self.shift_dates)
        return RunOptions(
            strength=self.strength,
            transfer_syntax=self.transfer_syntax.value,
            classic=self.classic,
            drop_private=self.drop_private,
            deidentification=deidentification,
        )


@dataclass(frozen=True)
class Folders:
    """Where images come from and where results go."""

    source: Path
    output: Path

    @classmethod
    def of(cls, source: Path | None, output: Path | None, environment: Mapping[str, str] = os.environ) -> Folders:
        """Return the folders that are given, or those that an orchestrator names in the environment.

        Raises
        ------
        InputError
            If there is none, or they do not exist.
        """
        for variables in _FOLDERS.values():
            if source and output:
                break
            found = [environment.get(variable) for variable in variables]
            source, output = source or _path(found[0]), output or _path(found[1])
        if source is None or output is None:
            expected = "; ".join(f"{' and '.join(names)} ({who})" for who, names in _FOLDERS.items())
            raise InputError(f"expected --input and --output, or in the environment {expected}, found neither")
        for folder in (source, output):
            if not folder.is_dir():
                raise InputError("expected a folder, found none", path=folder)
        return cls(source, output)


def run_container(folders: Folders, settings: ContainerSettings, progress: Progress) -> int:
    """Denoise everything in the input folder into the output folder, without folders below it.

    The output gets ``NAME-0001.dcm`` … for each series, ``NAME.manifest.json``, and ``result.json``.

    Parameters
    ----------
    folders, settings
        Where and how.
    progress
        Receives progress and messages.

    Returns
    -------
    int
        Exit code: 0 if all is done, or something is and ``partial`` is ``"ok"``; 1 otherwise.

    Raises
    ------
    InputError
        If nothing can be denoised; ``result.json`` says so, too.
    OSError
        If the output cannot be written.
    """
    from ctdenoise.inference import Denoiser, denoise

    try:
        denoiser = Denoiser.from_pretrained(
            settings.model,
            device=settings.device,
            engine=settings.engine,
            batch_size=settings.batch_size,
            full_field=settings.full_field,
        )
        options = settings.run_options()
        outcome = denoise(folders.source, folders.output / WORK, model=denoiser, options=options, progress=progress)
    except InputError as error:
        _write_result(folders.output, {"status": "failed", "problems": [error.reason]}, "nothing was denoised")
        raise
    for result in outcome.results:
        _flatten(result, folders.output)
    shutil.rmtree(folders.output / WORK)
    written = sum(len(result.manifest.slices) for result in outcome.results)
    _write_result(folders.output, _describe(outcome), _summary(outcome, written))
    return 0 if not outcome.failed or (written and settings.partial == "ok") else 1


def _task_settings(path: Path) -> dict[str, Any]:
    """Return the settings in mercure's task; none if there is no task of mercure."""
    try:
        process = json.loads(path.read_bytes())["process"]
        (step,) = process if isinstance(process, list) else [process]
        return dict(step.get("settings") or {})
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected a task of mercure with the settings of one processing step, found none ({type(error).__name__})",
            path=path,
        ) from error


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _flatten(result: SeriesResult, output: Path) -> None:
    """Move the files of a result into the output folder, and name them so in its manifest."""
    manifest, single = result.manifest, result.manifest.derived.file
    if single:  # a volume
        _move(result.folder / single, output / single)
    for record in [] if single else manifest.slices:
        name = f"{result.folder.name}-{record.file}"
        _move(result.folder / record.file, output / name)
        record.file = name
    manifest.write(output / f"{single or result.folder.name}.manifest.json")


def _move(file: Path, target: Path) -> None:
    if target.exists():
        raise InputError("expected an empty output folder, found a file in the way", path=target)
    file.rename(target)


def _describe(outcome: RunResult) -> dict[str, Any]:
    return {
        "status": "incomplete" if outcome.failed else "complete",
        "series": [
            {
                "name": result.manifest.derived.file or result.folder.name,
                "slices": len(result.manifest.slices),
                "failed_slices": len(result.manifest.failed),
                "strength": result.manifest.strength,
                "warnings": result.manifest.warnings,
            }
            for result in outcome.results
        ],
        "skipped": Counter(skipped.reason for skipped in outcome.skipped if not skipped.failed),
        "problems": [skipped.reason for skipped in outcome.skipped if skipped.failed]
        + [note.reason for result in outcome.results for note in result.manifest.failed],
    }


def _summary(outcome: RunResult, written: int) -> str:
    """Return a sentence for people, without names."""
    failed = sum(skipped.failed for skipped in outcome.skipped)
    failed += sum(len(result.manifest.failed) for result in outcome.results)
    summary = f"{len(outcome.results)} series denoised, {written} slices"
    return f"{summary}; {failed} files failed" if failed else summary


def _write_result(output: Path, document: dict[str, Any], summary: str) -> None:
    """Write the file that mercure reads; it sends the notification on request where something failed."""
    notification = {"text": f"ctdenoise: {summary}", "requested": document["status"] != "complete"}
    text = json.dumps({**document, "__mercure_notification": notification}, indent=2, ensure_ascii=False)
    write_whole(output / RESULT, text + "\n")
