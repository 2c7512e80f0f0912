"""The processing of one series of a cohort: on a local disk, then moved into the output folder as a whole."""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ctdenoise.cohort.outcome import Outcome, WorkSettings
from ctdenoise.cohort.plan import PlannedSeries
from ctdenoise.cohort.state import MOST_CRASHES, SeriesRecord, SeriesState, now
from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, RunOptions, RunResult, SeriesResult, denoise
from ctdenoise.inference.slice_pipeline import read_sample
from ctdenoise.inference.strength import automatic_strength
from ctdenoise.io.dicom import Series, SliceFile, discover
from ctdenoise.io.dicom.series import Skipped

_LOG = logging.getLogger("ctdenoise")
#: A process asks this often whether it should stop, seconds.
_PATIENCE = 1.0


class StopRequestedError(Exception):
    """The process was asked to stop."""


def process(
    series: PlannedSeries, output: Path, settings: WorkSettings, stop: Callable[[], bool], *, wait: bool
) -> Outcome:
    """Process a series unless that is done; alone on it.

    Parameters
    ----------
    series
        From the plan.
    output
        Output folder of the cohort.
    settings
        Of this process.
    stop
        Asked after each slice; the series is then kept for another process.
    wait
        Wait for another process that works on the series; otherwise return that it does.

    Raises
    ------
    InputError
        If this process cannot work on any series: without the model, the device or scratch.
    OSError
        If the output folder cannot be written.
    BaseException
        Whatever crashed; that counts as one of the crashes after which a series is left.
    """
    state = SeriesState(output, series.id)
    while not stop():
        if record := state.record():
            return _outcome(record, there=True)
        with state.locked(_PATIENCE if wait else 0) as free:
            if free:
                return _alone(series, state, settings, stop)
        if not wait:
            return Outcome(series.id, "busy")
    return Outcome(series.id, "stopped")


def _alone(series: PlannedSeries, state: SeriesState, settings: WorkSettings, stop: Callable[[], bool]) -> Outcome:
    """Process a series whose lock is held."""
    if record := state.record():
        return _outcome(record, there=True)
    failure = state.failure()
    if failure and failure.crashed:
        return Outcome(series.id, "failed", reason=failure.reason)
    if len(state.attempts()) >= MOST_CRASHES:
        reason = f"{MOST_CRASHES} processes died while they worked on it"
        state.fail(reason, crashed=True)
        return Outcome(series.id, "failed", reason=reason)
    denoiser, options = load_denoiser(series, settings), series.options.run_options()
    scratch = _Scratch.of(series, state, settings)
    attempt = state.begin()
    try:
        outcome = _attempt(series, state, _Run(scratch, denoiser, options, _StoppableProgress(series.id, stop)))
    except InputError as error:
        attempt.unlink(missing_ok=True)
        reason = scratch.shown(error, hide=series.options.deidentify)
        state.fail(reason)
        outcome = Outcome(series.id, "failed", reason=reason)
    except OSError:  # of the output folder: no fault of the series, and scratch has its result for the next attempt
        attempt.unlink(missing_ok=True)
        raise
    except BaseException as error:
        state.crashed(attempt, error)
        raise
    attempt.unlink(missing_ok=True)
    scratch.remove()
    return outcome


def _attempt(series: PlannedSeries, state: SeriesState, run: _Run) -> Outcome:
    began = time.perf_counter()
    run.scratch.prepare(series, state.unfinished)
    try:
        result = run.denoise()
    except StopRequestedError:
        if run.scratch.output.is_dir():
            state.keep(run.scratch.output)
        return Outcome(series.id, "stopped")
    problems = [f"{s.name}: {s.reason}" for s in result.skipped if s.failed]
    problems += [f"{note.file}: {note.reason}" for found in result.results for note in found.manifest.failed]
    if not result.results:
        raise InputError("; ".join(problems))
    record = SeriesRecord(
        id=series.id,
        status="incomplete" if problems else "complete",
        folder=result.results[0].folder.name,
        slices=sum(len(found.manifest.slices) for found in result.results),
        seconds=round(time.perf_counter() - began, 3),
        noise_before_hu=run.noise.before,
        noise_after_hu=run.noise.after,
        host=socket.gethostname(),
        finished=now(),
        problems=problems,
    )
    state.publish(run.scratch.output, record)
    return _outcome(record, there=False)


def load_denoiser(series: PlannedSeries, settings: WorkSettings) -> Denoiser:
    """Return the planned model, which is loaded once in a process.

    Raises
    ------
    InputError
        If there is no such model here, it is another one, or the device is absent.
    """
    options = series.options
    denoiser = _load(series.model.source, settings.device, settings.batch_size, options.engine, options.full_field)
    description = denoiser.description
    if description is None or description.sha256 != series.model.sha256:
        raise InputError(
            f"{series.model.source}: expected the model that the plan was made for (sha256 {series.model.sha256[:12]})"
            ", found another",
            hint="make the plan anew",
        )
    return denoiser


@lru_cache(maxsize=1)
def _load(source: str, device: str, batch_size: int | None, engine: str, full_field: bool) -> Denoiser:
    return Denoiser.from_pretrained(source, device=device, batch_size=batch_size, engine=engine, full_field=full_field)


def _outcome(record: SeriesRecord, *, there: bool) -> Outcome:
    return Outcome(record.id, record.status, record.slices, record.seconds, there, "; ".join(record.problems[:3]))


@dataclass(frozen=True)
class _Scratch:
    """Folder of a series on a local disk.

    Its name is the same for every attempt on a machine: what a killed process left there is continued or removed.
    """

    folder: Path

    @classmethod
    def of(cls, series: PlannedSeries, state: SeriesState, settings: WorkSettings) -> _Scratch:
        user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()  # Windows has names and no numbers
        base = (settings.scratch or Path(tempfile.gettempdir())) / f"ctdenoise-cohort-{user}"
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = base.lstat()
        shared = hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o077)
        if shared or base.is_symlink():
            raise InputError("expected a folder that only you can read and write", path=base, hint="use --scratch")
        output = hashlib.sha256(os.fsencode(state.result.resolve())).hexdigest()
        return cls(base / f"{series.id}-{output[:12]}")

    @property
    def input(self) -> Path:
        """Links to the files of the series."""
        return self.folder / "in"

    @property
    def output(self) -> Path:
        """The result."""
        return self.folder / "out"

    def prepare(self, series: PlannedSeries, unfinished: Path) -> None:
        """Link the files under the names they have below the input, and take over what was done elsewhere."""
        shutil.rmtree(self.input, ignore_errors=True)
        self.input.mkdir(parents=True)
        for name in series.files:
            link = self.input / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(series.root, name))
        if unfinished.is_dir() and not self.output.is_dir():
            shutil.copytree(unfinished, self.output)

    def shown(self, error: InputError, *, hide: bool) -> str:
        """Return an error's text, with the name of a file of the series below the input unless it is to be hidden."""
        if hide or error.path is None or not error.path.is_relative_to(self.input):
            return error.reason
        return f"{error.path.relative_to(self.input)}: {error.reason}"

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class _StoppableProgress:
    """Progress that ends a run after a slice."""

    series_id: str
    stop: Callable[[], bool]

    def start(self, name: str, slices: int, done: int) -> None:
        """Log that the series begins."""
        _LOG.info("%s: %d slices, %d done before", self.series_id, slices, done)

    def advance(self) -> None:
        """End the run if that was asked for."""
        if self.stop():
            raise StopRequestedError

    def message(self, text: str) -> None:
        """Log what a user should know; the manifest has it, too."""
        _LOG.info("%s: %s", self.series_id, text)


class _NoiseBeforeAndAfter:
    """Measures noise in the source and in the result; a :class:`~ctdenoise.inference.results.ResultHandler`."""

    before: float | None = None
    after: float | None = None

    def __call__(self, result: SeriesResult, source: Series | Path, input_path: Path) -> list[Skipped]:
        """Measure; what an automatic strength was derived from need not be measured again."""
        assert isinstance(source, Series)
        measured = result.manifest.operation.measured.get("strength")
        self.before = measured["noise_hu"] if measured else _noise(source.slices)
        derived = discover(result.folder).series
        self.after = _noise(derived[0].slices) if derived else None
        return []


def _noise(slices: tuple[SliceFile, ...]) -> float | None:
    """Return the noise in soft tissue, HU; None where there is none."""
    sample = read_sample(slices)
    if not sample.slices:
        return None
    first = sample.slices[0]
    return automatic_strength(sample.images, first.pixel_spacing_mm, first.slice_thickness_mm).noise_hu


@dataclass(frozen=True)
class _Run:
    """The denoising of one series on a local disk."""

    scratch: _Scratch
    denoiser: Denoiser
    options: RunOptions
    progress: _StoppableProgress
    noise: _NoiseBeforeAndAfter = field(default_factory=_NoiseBeforeAndAfter)

    def denoise(self) -> RunResult:
        """Denoise; begin anew where what another machine or another setting began cannot be continued here."""
        begun = self.scratch.output.is_dir()
        try:
            return self._once()
        except InputError as error:
            if not begun:
                raise
            self.progress.message(f"what was begun cannot be continued and is done anew: {error.problem}")
        shutil.rmtree(self.scratch.output)
        return self._once()

    def _once(self) -> RunResult:
        return denoise(
            self.scratch.input,
            self.scratch.output,
            model=self.denoiser,
            options=self.options,
            progress=self.progress,
            on_result=self.noise,
        )
