"""The demo: a phantom series at full and low dose, denoised and compared with the truth."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from ctdenoise.evaluation import WINDOWS, comparison_figure, window_metrics
from ctdenoise.inference import Denoiser
from ctdenoise.inference.series import Progress
from ctdenoise.io.dicom import read_slice, write_slice
from ctdenoise.io.dicom.create import NewSeries
from ctdenoise.noise.lowdose import WATER_PER_MM, add_noise, reconstruct
from ctdenoise.noise.phantom import project, render, thorax

SIZE = 512
PIXEL_MM = 0.7
SPACING_MM = 5.0
SLICES = 8
VIEWS = 720
KERNEL = "shepp-logan"
ELECTRONIC_PHOTONS = 10.0
#: Incident photons for each ray, chosen for about 12 HU of noise at the centre at full dose.
FULL_DOSE_PHOTONS = 1e6
LOW_DOSE = 0.1


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
    folder: Path, denoiser: Denoiser, *, progress: Progress | None = None, say: Callable[[str], None]
) -> DemoResult:
    """Make the phantom, scan it at full and low dose, denoise the low-dose series and compare.

    Parameters
    ----------
    folder
        Series and picture go here; an earlier demo's are replaced.
    denoiser
        With the model to show.
    progress, say
        Told how it goes on.
    """
    say(f"scanning a thorax phantom: {SLICES} slices of {SIZE}² at full dose and at {LOW_DOSE:.0%}")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        scans = np.stack(list(pool.map(_scan, range(SLICES))))
    truth, full, low = scans[:, 0], scans[:, 1], scans[:, 2]
    time = datetime.now()
    study, frame = generate_uid(prefix=None), generate_uid(prefix=None)
    folders = []
    for number, (name, description, volume) in enumerate(
        (("full-dose", "Thorax phantom full dose", full), ("low-dose", "Thorax phantom low dose", low)),
        start=1,
    ):
        series = NewSeries(
            patient="CTDENOISE-PHANTOM",
            study_uid=study,
            frame_of_reference_uid=frame,
            uid=generate_uid(prefix=None),
            number=number,
            description=description,
            pixel_mm=PIXEL_MM,
            spacing_mm=SPACING_MM,
            kernel=KERNEL,
            time=time,
        )
        folders.append(folder / name)
        folders[-1].mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(volume):
            write_slice(series.slice(index, image), folders[-1] / f"{index + 1:04d}.dcm")
    say(f"denoising with {denoiser.description.name if denoiser.description else 'a custom model'}")
    (result,) = denoiser.denoise_series(folders[1], folder / "denoised", progress=progress)
    low = _read_volume(folders[1], [f"{i + 1:04d}.dcm" for i in range(SLICES)])
    denoised = _read_volume(result.folder, [record["file"] for record in result.manifest["slices"]])
    picture = folder / "demo.png"
    middle = SLICES // 2
    comparison_figure(low[middle], denoised[middle], truth[middle], [WINDOWS["soft-tissue"], WINDOWS["lung"]], picture)
    before = {name: window_metrics(truth, low, window) for name, window in WINDOWS.items()}
    after = {name: window_metrics(truth, denoised, window) for name, window in WINDOWS.items()}
    return DemoResult(folders[0], folders[1], result.folder, picture, before, after)


def _scan(index: int) -> NDArray[np.float32]:
    """Return truth, full-dose and low-dose image of a slice, ``[3, H, W]`` HU."""
    z = SPACING_MM * (index - SLICES // 2)
    phantom = thorax()
    angles = np.linspace(0.0, 180.0, VIEWS, endpoint=False)
    sinogram = project(phantom, z, angles=angles, detectors=SIZE, pixel_mm=PIXEL_MM) * WATER_PER_MM / 1000
    images = [render(phantom, z, size=SIZE, pixel_mm=PIXEL_MM)]
    for dose in (1.0, LOW_DOSE):
        rng = np.random.default_rng([index, int(1000 * dose)])
        noisy = add_noise(sinogram, photons=dose * FULL_DOSE_PHOTONS, electronic=ELECTRONIC_PHOTONS, rng=rng)
        images.append(reconstruct(noisy, angles=angles, pixel_mm=PIXEL_MM, kernel=KERNEL))
    return np.stack(images)


def _read_volume(folder: Path, files: list[str]) -> NDArray[np.float32]:
    return np.stack([read_slice(folder / file).hu for file in files])
