"""CT slices as MONAI data."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import MapTransform
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover, read_slice


def list_ct_slices(root: str | Path, patients: Sequence[str], *, slab_mm: float = 0.0) -> list[dict[str, list[str]]]:
    """List the CT slices of some patients as a MONAI datalist.

    Parameters
    ----------
    root
        A folder with one sub-folder for each patient.
    patients
        Names of the sub-folders; splitting by them splits by patient.
    slab_mm
        Thickness that neighbouring slices are to be averaged over, for quieter images; 0 leaves slices alone.

    Returns
    -------
    list
        ``{"image": paths}`` for each slice or slab, series by series in slice order.

    Raises
    ------
    InputError
        If a patient has no CT slices.
    """
    items: list[dict[str, list[str]]] = []
    for patient in patients:
        folder = Path(root, patient)
        found = discover(folder).series
        if not found:
            raise InputError("expected CT slices, found none", path=folder)
        for series in found:
            files = series.slices
            spacing = _spacing([f.position for f in files if f.position is not None])
            count = min(len(files), max(1, round(slab_mm / spacing))) if spacing else 1
            for start in range(len(files) - count + 1):
                items.append({"image": [str(f.path) for f in files[start : start + count]]})
    return items


def _spacing(positions: list[float]) -> float:
    """Median distance of neighbouring slices in mm; 0 where there is none."""
    return float(np.median(np.abs(np.diff(positions)))) if len(positions) > 1 else 0.0


class LoadCTSliced(MapTransform):
    """Read the DICOM slices each key lists and average them: HU, ``[1, H, W]`` float32; padding is −1024 HU."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        read = {key: _average(data[key])[np.newaxis] for key in self.key_iterator(data)}
        return {**data, **read}


def _average(paths: Sequence[str]) -> NDArray[np.float32]:
    average: NDArray[np.float32] = np.mean([read_slice(Path(path)).hu for path in paths], axis=0, dtype=np.float32)
    return average
