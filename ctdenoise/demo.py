"""The demo: a phantom series at full and low dose, denoised and compared with the truth."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from ctdenoise.errors import InputError
from ctdenoise.evaluation import WINDOWS, comparison_figure
from ctdenoise.evaluation.document import Evaluation
from ctdenoise.evaluation.evaluate import evaluate
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.protocols import Measurement
from ctdenoise.evaluation.results import write_results
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.evaluation.windows import DEFAULT_WINDOWS
from ctdenoise.inference import Denoiser, denoise
from ctdenoise.inference.results import Progress
from ctdenoise.io.dicom import read_slice, write_slice
from ctdenoise.io.dicom.create import NewSeries
from ctdenoise.noise.phantom import scan_thorax

FIELD_MM = 358.4
SPACING_MM = 5.0
KERNEL = "shepp-logan"
#: Incident photons for each ray, chosen for about 12 HU of noise at the centre at full dose.
FULL_DOSE_PHOTONS = 1e6
LOW_DOSE = 0.1
PHOTONS = (FULL_DOSE_PHOTONS, LOW_DOSE * FULL_DOSE_PHOTONS)
PICTURE = "demo.png"
_METRICS = ("psnr", "ssim", "rmse")


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes
    ----------
    full_dose, low_dose, denoised
        Folders with DICOM series.
    picture
        A PNG.
    report
        An HTML page with everything measured.
    before, after
        For each window, metrics of the low-dose and of the denoised series against the truth.
    """

    full_dose: Path
    low_dose: Path
    denoised: Path
    picture: Path
    report: Path
    before: dict[str, dict[str, float]]
    after: dict[str, dict[str, float]]


def run_demo(
    folder: Path,
    denoiser: Denoiser,
    *,
    size: int = 512,
    slices: int = 8,
    progress: Progress | None = None,
    say: Callable[[str], None],
) -> DemoResult:
    """Make the phantom, scan it at full and low dose, denoise the low-dose series and compare.

    Parameters
    ----------
    folder
        Series and picture go here; an earlier demo's are replaced.
    denoiser
        With the model to show.
    size, slices
        Matrix and number of slices.
    progress, say
        Told how it goes on.
    """
    if folder.exists() and not (folder / PICTURE).exists() and any(folder.iterdir()):
        raise InputError(
            "expected an empty folder or an earlier demo's, found other files or a demo that did not end; "
            "remove the folder, or name another with -o",
            path=folder,
        )
    say(f"scanning a thorax phantom: {slices} slices of {size}² at full dose and at {LOW_DOSE:.0%}")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        scan = partial(scan_thorax, size=size, pixel_mm=FIELD_MM / size, photons=PHOTONS, kernel=KERNEL)
        scans = np.stack(list(pool.map(scan, [SPACING_MM * (index - slices // 2) for index in range(slices)])))
    truth, full, low = scans[:, 0], scans[:, 1], scans[:, 2]
    shared = {
        "patient": "PHANTOM^THORAX",
        "body_part": "CHEST",
        "study_uid": generate_uid(prefix=None),
        "frame_of_reference_uid": generate_uid(prefix=None),
        "pixel_mm": FIELD_MM / size,
        "spacing_mm": SPACING_MM,
        "kernel": KERNEL,
        "time": datetime.now(),
    }
    for earlier in ("truth", "full-dose", "low-dose", "denoised"):
        shutil.rmtree(folder / earlier, ignore_errors=True)
    exact = _write_series(folder / "truth", truth, 3, "Thorax phantom truth", shared)
    full_dose = _write_series(folder / "full-dose", full, 1, "Thorax phantom full dose", shared)
    low_dose = _write_series(folder / "low-dose", low, 2, "Thorax phantom low dose", shared)
    say(f"denoising with {denoiser.description.name if denoiser.description else 'a custom model'}")
    (result,) = denoise(low_dose, folder / "denoised", model=denoiser, progress=progress).results
    low, denoised = _read_series(low_dose), _read_series(result.folder)
    middle = slices // 2
    body = np.argwhere(truth[middle] > -500)
    window = tuple(slice(first, last + 1) for first, last in zip(body.min(0), body.max(0), strict=True))
    comparison_figure(
        *(volume[middle][window] for volume in (low, denoised, truth)),
        windows=[WINDOWS["soft-tissue"], WINDOWS["lung"]],
        path=folder / PICTURE,
    )
    say("comparing with the truth")
    aligned = align(
        {
            "reference": open_stack(exact),
            "noisy": open_stack(low_dose),
            "full dose": open_stack(full_dose),
            "denoised": open_stack(result.folder),
        }
    )
    measurements = [Measurement(WINDOWS[name], _METRICS) for name in DEFAULT_WINDOWS]
    evaluation = evaluate(aligned, measurements, protocol="demo")
    write_results(evaluation, aligned, folder)
    return DemoResult(
        full_dose,
        low_dose,
        result.folder,
        folder / PICTURE,
        folder / "report.html",
        before=_means(evaluation, "noisy"),
        after=_means(evaluation, "denoised"),
    )


def _means(evaluation: Evaluation, image: str) -> dict[str, dict[str, float]]:
    means: dict[str, dict[str, float]] = {}
    for entry in evaluation.fidelity:
        if entry.image == image and entry.mean is not None:
            means.setdefault(entry.window, {})[entry.metric] = entry.mean
    return means


def _write_series(
    folder: Path, volume: NDArray[np.float32], number: int, description: str, shared: dict[str, Any]
) -> Path:
    series = NewSeries(uid=generate_uid(prefix=None), number=number, description=description, **shared)
    folder.mkdir(parents=True)
    for index, image in enumerate(volume):
        write_slice(series.slice(index, image), folder / f"{index + 1:04d}.dcm")
    return folder


def _read_series(folder: Path) -> NDArray[np.float32]:
    return np.stack([read_slice(path).hu for path in sorted(folder.glob("*.dcm"))])
