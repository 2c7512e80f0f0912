"""The demo: a phantom series at full and low dose, denoised and compared with the truth."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from ctdenoise.errors import InputError
from ctdenoise.evaluation import WINDOWS, comparison_figure, window_metrics
from ctdenoise.inference import Denoiser
from ctdenoise.inference.series import Progress
from ctdenoise.io.dicom import read_slice, write_slice
from ctdenoise.io.dicom.create import NewSeries
from ctdenoise.noise.lowdose import WATER_PER_MM, add_noise, reconstruct
from ctdenoise.noise.phantom import project, render, thorax

FIELD_MM = 358.4
SPACING_MM = 5.0
VIEWS = 720
KERNEL = "shepp-logan"
ELECTRONIC_PHOTONS = 10.0
#: Incident photons for each ray, chosen for about 12 HU of noise at the centre at full dose.
FULL_DOSE_PHOTONS = 1e6
LOW_DOSE = 0.1
PICTURE = "demo.png"


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes
    ----------
    full_dose, low_dose, denoised
        Folders with DICOM series.
    picture
        A PNG.
    before, after
        For each window, metrics of the low-dose and of the denoised series against the truth.
    """

    full_dose: Path
    low_dose: Path
    denoised: Path
    picture: Path
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
    say(f"scanning a thorax phantom: {slices} slices of {size}² at full dose and at {LOW_DOSE:.0%}")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        scans = np.stack(list(pool.map(_scan, range(slices), [size] * slices)))
    truth, full, low = scans[:, 0], scans[:, 1], scans[:, 2]
    shared = {
        "patient": "CTDENOISE-PHANTOM",
        "study_uid": generate_uid(prefix=None),
        "frame_of_reference_uid": generate_uid(prefix=None),
        "pixel_mm": FIELD_MM / size,
        "spacing_mm": SPACING_MM,
        "kernel": KERNEL,
        "time": datetime.now(),
    }
    if folder.exists() and not (folder / PICTURE).exists() and any(folder.iterdir()):
        raise InputError("expected an empty folder or an earlier demo's, found other files", path=folder)
    shutil.rmtree(folder, ignore_errors=True)
    full_dose = _write_series(folder / "full-dose", full, 1, "Thorax phantom full dose", shared)
    low_dose = _write_series(folder / "low-dose", low, 2, "Thorax phantom low dose", shared)
    say(f"denoising with {denoiser.description.name if denoiser.description else 'a custom model'}")
    (result,) = denoiser.denoise_series(low_dose, folder / "denoised", progress=progress)
    low, denoised = _read_series(low_dose), _read_series(result.folder)
    middle = slices // 2
    comparison_figure(
        low[middle],
        denoised[middle],
        truth[middle],
        [WINDOWS["soft-tissue"], WINDOWS["lung"]],
        folder / PICTURE,
    )
    return DemoResult(
        full_dose,
        low_dose,
        result.folder,
        folder / PICTURE,
        before={name: window_metrics(truth, low, window) for name, window in WINDOWS.items()},
        after={name: window_metrics(truth, denoised, window) for name, window in WINDOWS.items()},
    )


def _scan(index: int, size: int) -> NDArray[np.float32]:
    """Return truth, full-dose and low-dose image of a slice, ``[3, size, size]`` HU."""
    z = SPACING_MM * (index - 4)
    pixel_mm = FIELD_MM / size
    phantom = thorax()
    angles = np.linspace(0.0, 180.0, VIEWS, endpoint=False)
    sinogram = project(phantom, z, angles=angles, detectors=size, pixel_mm=pixel_mm) * WATER_PER_MM / 1000
    images = [render(phantom, z, size=size, pixel_mm=pixel_mm)]
    for dose in (1.0, LOW_DOSE):
        rng = np.random.default_rng([index, int(1000 * dose)])
        noisy = add_noise(sinogram, photons=dose * FULL_DOSE_PHOTONS, electronic=ELECTRONIC_PHOTONS, rng=rng)
        images.append(reconstruct(noisy, angles=angles, pixel_mm=pixel_mm, kernel=KERNEL))
    return np.stack(images)


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
