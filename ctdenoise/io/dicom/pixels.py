"""Stored values to HU and back: slope, intercept, signedness, bit depth and padding live here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import JPEGExtended12Bit

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.enhanced import functional_group, is_enhanced
from ctdenoise.io.dicom.read import NotDicomError, read_dataset

#: Noise about air (−1000 HU) does not reach this; scanners fill what they did not reconstruct with less.
OUTSIDE_FIELD_HU = -1400.0
#: What the network sees where there is no image.
AIR_HU = -1024.0
#: Images of more pixels than this (4096²) must have one byte of pixel data for so many pixels.
_LARGE, _MOST_COMPRESSED = 2**24, 1000


@dataclass(frozen=True)
class CTSlice:
    """One decoded CT image, or an enhanced one with all its frames: arrays then begin with an axis of frames.

    Attributes
    ----------
    path
        Where it was read.
    dataset
        All of it, still encoded as it was.
    stored
        ``[Rows, Columns]`` integers as stored, unused bits removed.
    hu
        ``[Rows, Columns]`` float32; padding replaced by −1024 HU.
    padding
        ``[Rows, Columns]`` bool: pixels that are no image, by Pixel Padding Value (Range Limit) or far below air.
    slope, intercept
        From stored values to HU; ``[frames, 1, 1]`` for enhanced CT.
    frame_of
        The enhanced image this one was a frame of, and which one from 1; None for images as they were read.
    """

    path: Path
    dataset: Dataset
    stored: NDArray[np.integer]
    hu: NDArray[np.float32]
    padding: NDArray[np.bool_]
    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    frame_of: tuple[Dataset, int] | None = None

    @property
    def pixel_spacing_mm(self) -> float | None:
        """Pixel spacing along a column (PS3.3 C.7.6.3.1.6; of enhanced CT, its first frame's, C.7.6.16.2.1)."""
        spacing = self._measures.get("PixelSpacing")
        return float(spacing[0]) if spacing else None

    @property
    def slice_thickness_mm(self) -> float | None:
        """Slice thickness (PS3.3 C.7.6.2.1.1; of enhanced CT, its first frame's, C.7.6.16.2.1)."""
        thickness = self._measures.get("SliceThickness")
        return float(thickness) if thickness else None

    def tube_current_ma(self, frame: int = 0) -> float | None:
        """X-ray tube current (PS3.3 C.8.2.1; of a frame from 0 of enhanced CT, C.8.15.3.8)."""
        exposure = functional_group(self.dataset, frame, "CTExposureSequence") if is_enhanced(self.dataset) else None
        current = exposure.get("XRayTubeCurrentInmA") if exposure else self.dataset.get("XRayTubeCurrent")
        return float(current) if current else None

    @property
    def _measures(self) -> Dataset:
        measures = functional_group(self.dataset, 0, "PixelMeasuresSequence") if is_enhanced(self.dataset) else None
        return measures or self.dataset

    def to_stored(self, hu: NDArray[np.float32]) -> StoredPixels:
        """Turn processed HU into stored values by this slice's own rescale, rounding to the nearest.

        Padding pixels get back what they were; no other pixel is given a padding value.
        """
        exact = np.rint((hu.astype(np.float64) - self.intercept) / self.slope)
        low, high = _stored_limits(self.dataset)
        values = np.clip(exact, low, high)
        clipped = int(np.count_nonzero((values != exact) & ~self.padding))
        limits = _padding_limits(self.dataset)
        if limits is not None:
            # PS3.3 C.7.5.1.1.2: a pixel with the padding value would be taken out of the image.
            first, last = limits
            values[(values >= first) & (values <= last)] = last + 1 if last < high else first - 1
        values = np.where(self.padding, self.stored, values)
        return StoredPixels(values.astype(self.stored.dtype), clipped)


@dataclass(frozen=True)
class StoredPixels:
    """Integers ready to be written, and how many of them had to be saturated."""

    values: NDArray[np.integer]
    clipped: int


def read_slice(path: Path) -> CTSlice:
    """Read and decode one CT image, classic or enhanced.

    Raises
    ------
    InputError
        If it is not such an image, or cannot be decoded; names the tag, what was expected and found.
    """
    try:
        return _read_slice(read_dataset(path), path)
    except NotDicomError:
        raise InputError("expected a DICOM file (PS3.10 section 7.1)", path=path) from None
    except InputError:
        raise
    except Exception as error:  # damaged elements raise many kinds; their values may be a patient's, so not told
        raise InputError(f"damaged CT image ({type(error).__name__})", path=path) from error


def _read_slice(dataset: Dataset, path: Path) -> CTSlice:
    for keyword, tag, allowed in (
        ("SamplesPerPixel", "(0028,0002)", (1,)),
        ("PhotometricInterpretation", "(0028,0004)", ("MONOCHROME1", "MONOCHROME2")),
        ("PixelRepresentation", "(0028,0103)", (0, 1)),
    ):
        found = dataset.get(keyword)
        if found not in allowed:
            expected = " or ".join(map(str, allowed))
            raise InputError(f"expected {expected}, found {found}", path=path, tag=f"{keyword} {tag}")
    bits_stored, high_bit = int(dataset.BitsStored), int(dataset.get("HighBit", dataset.BitsStored - 1))
    if high_bit != bits_stored - 1:
        # PS3.5 section 8.1.1; decoders differ in what they make of anything else.
        raise InputError(
            f"expected BitsStored − 1 = {bits_stored - 1}, found {high_bit}", path=path, tag="HighBit (0028,0102)"
        )
    slope, intercept = _rescale(dataset, path)
    _check_size(dataset, path)
    stored = _decode(dataset, path)
    hu = stored * slope + intercept
    padding = hu < OUTSIDE_FIELD_HU
    limits = _padding_limits(dataset)
    if limits is not None:
        padding |= (stored >= limits[0]) & (stored <= limits[1])
    return CTSlice(path, dataset, stored, np.where(padding, AIR_HU, hu).astype(np.float32), padding, slope, intercept)


def _decode(dataset: Dataset, path: Path) -> NDArray[np.integer]:
    if "PixelData" not in dataset:
        raise InputError("expected Pixel Data, found none", path=path, tag="PixelData (7FE0,0010)")
    try:
        pixels: NDArray[np.integer] = dataset.pixel_array
    except Exception as error:  # each codec plug-in raises its own kinds
        syntax = dataset.file_meta.TransferSyntaxUID
        if isinstance(error, NotImplementedError):
            hint = "no codec knows this transfer syntax; decompress the file with another program first"
        elif syntax == JPEGExtended12Bit:
            hint = "12 bits of this need another codec: pip install pylibjpeg-libjpeg (its licence is the GPL)"
        else:
            hint = "the file may be truncated; check it with another viewer and export it again"
        raise InputError(
            f"pixel data in {syntax.name} cannot be decoded: {' '.join(str(error).split())}",
            path=path,
            tag="PixelData (7FE0,0010)",
            hint=hint,
        ) from error
    if is_enhanced(dataset):
        return pixels.reshape(-1, *pixels.shape[-2:])
    if pixels.ndim != 2:
        raise InputError(f"expected one frame, found {pixels.shape[0]}", path=path, tag="NumberOfFrames (0028,0008)")
    return pixels


def _check_size(dataset: Dataset, path: Path) -> None:
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


def _rescale(dataset: Dataset, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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


def _stored_limits(dataset: Dataset) -> tuple[int, int]:
    """Smallest and largest value that Bits Stored and Pixel Representation allow (PS3.5 section 8.1.1)."""
    bits = int(dataset.BitsStored)
    if dataset.PixelRepresentation == 1:
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def _padding_limits(dataset: Dataset) -> tuple[int, int] | None:
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
