"""Scans of a thorax phantom as DICOM, for the tutorials."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from ctdenoise.io.dicom import write_slice
from ctdenoise.io.dicom.create import NewSeries
from ctdenoise.noise.phantom import scan_thorax

FIELD_MM = 358.4
FULL_DOSE, LOW_DOSE = 1e6, 1e5  # photons for each ray
_STUDY = generate_uid()


def scan(positions_mm: tuple[float, ...], *, size: int = 256, views: int = 360) -> NDArray[np.float32]:
    """Return truth, full dose and low dose of each axial plane, ``[3, planes, size, size]`` HU."""
    doses = {"photons": (FULL_DOSE, LOW_DOSE), "kernel": "shepp-logan", "views": views}
    planes = [scan_thorax(z, size=size, pixel_mm=FIELD_MM / size, **doses) for z in positions_mm]
    return np.stack(planes, axis=1)


def write_series(folder: Path, images: NDArray[np.float32], *, number: int = 1, patient: str = "PHANTOM") -> Path:
    """Write ``[planes, size, size]`` HU as a DICOM series."""
    series = NewSeries(
        patient=patient,
        body_part="CHEST",
        study_uid=_STUDY,
        frame_of_reference_uid=_STUDY,
        uid=generate_uid(),
        number=number,
        description="Thorax phantom",
        pixel_mm=FIELD_MM / images.shape[-1],
        spacing_mm=5.0,
        kernel="shepp-logan",
        time=datetime.now(),
    )
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        write_slice(series.slice(index, image), folder / f"{index + 1:04d}.dcm")
    return folder
