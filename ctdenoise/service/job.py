"""What the worker does with one series: find its rule and denoise it."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, RunOptions, RunResult, denoise
from ctdenoise.io.dicom import Series, discover
from ctdenoise.io.dicom.cautions import made_here
from ctdenoise.io.dicom.deidentify import Deidentification
from ctdenoise.io.dicom.read import read_dataset
from ctdenoise.service.entry import Entry
from ctdenoise.service.outcome import JobOutcome
from ctdenoise.service.rules import RULE_TAGS, first_match
from ctdenoise.service.settings import Rule, Settings, WorkSection

#: Secret that pseudonyms depend on.
KEY_VARIABLE = "CTDENOISE_PSEUDONYM_KEY"
#: Models that are kept in memory.
_WARM = 2


class StopRequestedError(Exception):
    """The worker was asked to stop."""


@dataclass(frozen=True)
class _StoppableProgress:
    """Progress that ends a run after a slice; the manifest has all messages."""

    stop: Callable[[], bool]

    def start(self, name: str, slices: int, done: int) -> None:
        """Do nothing."""

    def advance(self) -> None:
        """End the run if that was asked for."""
        if self.stop():
            raise StopRequestedError

    def message(self, text: str) -> None:
        """Do nothing."""


def process(entry: Entry, settings: Settings, stop: Callable[[], bool]) -> JobOutcome:
    """Denoise a series by its rule.

    Parameters
    ----------
    entry
        The series; `out` gets the results, and what an earlier run left there is continued.
    settings
        Of the node.
    stop
        Asked after each slice.
    """
    began, rule = time.perf_counter(), None
    try:
        found = discover(entry.images)
        skipped = [note.reason for note in found.skipped if note.failed]
        if not found.series:
            reasons = sorted({note.reason for note in found.skipped})
            return JobOutcome("failed" if skipped else "left_alone", problems=reasons)
        if any(made_here(series.warnings) for series in found.series):
            return JobOutcome("left_alone", problems=["made by ctdenoise"])
        rule = _rule(found.series[0], settings, entry.record().calling_ae_title)
        if rule is None or rule.skip:
            reason = f"rule {rule.name}" if rule else "no rule matches"
            return JobOutcome("left_alone", rule=rule.name if rule else "", problems=[reason])
        run, notes = _denoise(entry, rule, settings.work, stop)
    except StopRequestedError:
        return JobOutcome("stopped")
    except InputError as error:
        return JobOutcome(
            "no_space" if _is_full(error) else "failed", rule=rule.name if rule else "", problems=[error.reason]
        )
    problems = [f"{note.path.name}: {note.reason}" for note in run.skipped if note.failed]
    problems += [f"{note.file}: {note.reason}" for result in run.results for note in result.manifest.failed]
    results = {
        record.derived_uid: f"{result.folder.name}/{record.file}"
        for result in run.results
        for record in result.manifest.slices
    }
    return JobOutcome(
        "done" if results else "failed",
        rule=rule.name,
        results=results,
        destinations=settings.destinations_of(rule),
        seconds=round(time.perf_counter() - began, 3),
        problems=problems,
        notes=notes,
    )


def _denoise(entry: Entry, rule: Rule, work: WorkSection, stop: Callable[[], bool]) -> tuple[RunResult, list[str]]:
    """Denoise; begin anew where what another version or another machine began cannot be continued here."""
    denoiser, options, progress = load_denoiser(rule, work), run_options(rule), _StoppableProgress(stop)
    begun = entry.results.is_dir()
    try:
        return denoise(entry.images, entry.results, model=denoiser, options=options, progress=progress), []
    except InputError as error:
        if not begun or _is_full(error):
            raise
        note = f"what was begun could not be continued and is done anew: {error.problem}"
    shutil.rmtree(entry.results)
    return denoise(entry.images, entry.results, model=denoiser, options=options, progress=progress), [note]


def _is_full(error: InputError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def load_denoiser(rule: Rule, work: WorkSection) -> Denoiser:
    """Return the model of a rule, which stays in memory.

    Raises
    ------
    InputError
        If there is no such model or device.
    """
    return _load(rule.model, rule.full_field, work.device, work.engine, work.batch_size)


@lru_cache(maxsize=_WARM)
def _load(model: str, full_field: bool, device: str, engine: str, batch_size: int | None) -> Denoiser:
    return Denoiser.from_pretrained(model, full_field=full_field, device=device, engine=engine, batch_size=batch_size)


def run_options(rule: Rule) -> RunOptions:
    """Return the options of a rule's runs; the pseudonym key comes from the environment."""
    deidentification = None
    if rule.deidentify:
        key = os.environ.get(KEY_VARIABLE) or None
        deidentification = Deidentification(key=key, shift_dates=rule.shift_dates)
    return RunOptions(
        strength=None if rule.strength == "auto" else float(rule.strength),
        transfer_syntax=rule.transfer_syntax.value,
        classic=rule.classic,
        drop_private=rule.drop_private,
        deidentification=deidentification,
    )


def _rule(series: Series, settings: Settings, calling_ae_title: str) -> Rule | None:
    first: Path = series.slices[0].path
    header = read_dataset(first, stop_before_pixels=True, specific_tags=list(RULE_TAGS))
    return first_match(settings.rules, header, calling_ae_title)
