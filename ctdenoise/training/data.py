"""CT slices as MONAI data."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover, read_slice


def list_ct_slices(root: str | Path, patients: Sequence[str]) -> list[dict[str, str]]:
    """List the CT slices of some patients as a MONAI datalist.

    Parameters
    ----------
    root
        A folder with one sub-folder for each patient.
    patients
        Names of the sub-folders; splitting by them splits by patient.

    Returns
    -------
    list
        ``{"image": path}`` for each slice, series by series in slice order.

    Raises
    ------
    InputError
        If a patient has no CT slices.
    """
    slices: list[dict[str, str]] = []
    for patient in patients:
        folder = Path(root, patient)
        found = [{"image": str(s.path)} for series in discover(folder).series for s in series.slices]
        if not found:
            raise InputError("expected CT slices, found none", path=folder)
        slices.extend(found)
    return slices


class LoadCTSliced(MapTransform):
    """Read the DICOM slice each key names as HU, ``[1, H, W]`` float32; padding is −1024 HU."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        read = {key: read_slice(Path(data[key])).hu[np.newaxis] for key in self.key_iterator(data)}
        return {**data, **read}
