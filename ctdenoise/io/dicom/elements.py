"""Elements that say what stored pixel values mean: rescale, bit depth, padding, size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.enhanced import functional_group, is_enhanced

#: Images of more pixels than this (4096²) must have one byte of pixel data for so many pixels.
_LARGE, _MOST_COMPRESSED = 2**24, 1000


def check_size(dataset: Dataset, path: Path) -> None:
    """Refuse a header that promises so many pixels that its own pixel data cannot hold them."""
    sizes = [int(dataset.get(keyword) or 1) for keyword in ("Rows", "Columns", "NumberOfFrames")]
    pixels = sizes[0] * sizes[1] * sizes[2]
    encoded = len(dataset.get("PixelData") or b"")
    if pixels > _LARGE and pixels > _MOST_COMPRESSED * encoded:
        raise InputError(
            f"expected pixel data for {sizes[0]} × {sizes[1]} × {sizes[2]} pixels, found {encoded} bytes",
            path=path,
            tag="Rows (0028,0010)",
            hint="the header is damaged, or made to exhaust memory",
        )


def rescale(dataset: Dataset, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rescale Slope and Intercept (PS3.3 C.8.2.1: Type 1 in CT images), of each frame where there are any.

    Enhanced CT has them in Pixel Value Transformation (PS3.3 C.7.6.16.2.9).
    """
    if not is_enhanced(dataset):
        slope, intercept = _rescale_of(dataset, path)
        return np.float64(slope), np.float64(intercept)  # type: ignore[return-value]
    frames = int(dataset.get("NumberOfFrames") or 1)
    both = [
        _rescale_of(functional_group(dataset, frame, "PixelValueTransformationSequence") or Dataset(), path)
        for frame in range(frames)
    ]
    slopes, intercepts = np.array(both, np.float64).reshape(frames, 2).T.reshape(2, frames, 1, 1)
    return slopes, intercepts


def _rescale_of(values: Dataset, path: Path) -> tuple[float, float]:
    for keyword, tag in (("RescaleIntercept", "(0028,1052)"), ("RescaleSlope", "(0028,1053)")):
        if values.get(keyword) is None:
            raise InputError(
                "expected a number, found none, so stored values cannot be turned into HU",
                path=path,
                tag=f"{keyword} {tag}",
            )
    slope = float(values.RescaleSlope)
    if not slope > 0:
        raise InputError(f"expected a positive number, found {slope}", path=path, tag="RescaleSlope (0028,1053)")
    return slope, float(values.RescaleIntercept)


def stored_limits(dataset: Dataset) -> tuple[int, int]:
    """Smallest and largest value that Bits Stored and Pixel Representation allow (PS3.5 section 8.1.1)."""
    bits = int(dataset.BitsStored)
    if dataset.PixelRepresentation == 1:
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def padding_limits(dataset: Dataset) -> tuple[int, int] | None:
    """Padding value and range limit as stored values, lower first (PS3.3 C.7.5.1.1.2), or None.

    Some scanners write the value of signed pixels as an unsigned number (63536 for −2000); its bits are what counts.
    """
    padding = dataset.get("PixelPaddingValue")
    if padding is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = []
    for value in (padding, padding if limit is None else limit):
        if isinstance(value, bytes):  # VR left ambiguous by an implicit file
            value = int.from_bytes(value[:2], "little")
        value = int(value) % 2 ** int(dataset.BitsAllocated)
        if dataset.PixelRepresentation == 1 and value >= 2 ** (int(dataset.BitsAllocated) - 1):
            value -= 2 ** int(dataset.BitsAllocated)
        ends.append(value)
    return min(ends), max(ends)
