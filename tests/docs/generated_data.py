"""The files that the commands of README and site name, made from phantoms and random numbers."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import generate_uid

from ctdenoise.io.dicom import write_slice
from ctdenoise.io.dicom.create import NewSeries
from ctdenoise.noise.phantom import scan_thorax

FIELD_MM = 358.4


def _series(folder: Path, images: NDArray[np.float32], number: int, patient: str, study: str) -> None:
    series = NewSeries(
        patient=patient,
        body_part="CHEST",
        study_uid=study,
        frame_of_reference_uid=study,
        uid=generate_uid(),
        number=number,
        description="Thorax phantom",
        pixel_mm=FIELD_MM / images.shape[-1],
        spacing_mm=5.0,
        kernel="shepp-logan",
        time=datetime(2026, 1, 2, 3, 4, 5),
    )
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        write_slice(series.slice(index, image), folder / f"{index + 1:04d}.dcm")


def _volume(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.ReadImage([str(path) for path in sorted(source.iterdir())]), str(target))


def _photographs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :80]
    for name in ("clean-pictures", "photos"):
        (folder / name).mkdir()
    for index in range(3):
        clean = 128 + 80 * np.sin(rows / (5 + index))[..., None] * np.cos(columns / 9)[..., None] * np.ones(3)
        noisy = clean + rng.normal(0, 15, clean.shape)
        for name, image in (("clean-pictures", clean), ("photos", noisy)):
            Image.fromarray(image.clip(0, 255).round().astype(np.uint8)).save(folder / name / f"{index}.png")
    shutil.copy(folder / "photos" / "0.png", folder / "photo.png")


def _repeated_scans(folder: Path) -> None:
    """Write a phantom with discs that was scanned 16 times, and as often without them."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:128, :128]
    discs = 10.0 * ((np.hypot(rows - 50, columns - 41) <= 7) | (np.hypot(rows - 62, columns - 80) <= 3.5))
    for name, signal in (("with-lesions", discs), ("without", 0 * discs)):
        scans = (rng.normal(40, 12, (16, 128, 128)) + signal).astype(np.float32)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(scans), str(folder / f"{name}.nii.gz"))


def make_data(folder: Path, size: int) -> Path:
    """Write the data; return the folder.

    Below 256 rows and columns, there is too little uniform tissue to measure noise in.

    ``study/`` and ``low-dose/`` are the same series, so that what is made from one can be compared with the other.
    """
    planes = [-10.0, -5.0, 0.0, 5.0]
    scans = np.stack(
        [scan_thorax(z, size=size, pixel_mm=FIELD_MM / size, photons=(1e6, 1e5), kernel="shepp-logan") for z in planes]
    )
    truth, full, low = scans[:, 0], scans[:, 1], scans[:, 2]
    study = generate_uid()
    _series(folder / "full-dose", full, 1, "PHANTOM^A", study)
    _series(folder / "low-dose", low, 4, "PHANTOM^A", study)
    shutil.copytree(folder / "low-dose", folder / "study")
    _series(folder / "training" / "a", full, 1, "PHANTOM^A", generate_uid())
    _series(folder / "training" / "b", truth, 1, "PHANTOM^B", generate_uid())
    shutil.copytree(folder / "training", folder / "DICOM_OF_SEVERAL_PATIENTS")
    shutil.copytree(folder / "training" / "a", folder / "ct" / "a")
    shutil.copytree(folder / "training" / "b", folder / "archive" / "b")
    for name in ("volume.nii.gz", "other.nii.gz", "volumes/volume.nii.gz"):
        _volume(folder / "full-dose", folder / name)
    _photographs(folder)
    _repeated_scans(folder)
    return folder
