"""Conversion of stored values to HU and back, by slope, intercept, signedness, bit depth and padding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import JPEGExtended12Bit

from ctdenoise.errors import Help, InputError
from ctdenoise.io.dicom.elements import check_size, padding_limits, rescale, stored_limits
from ctdenoise.io.dicom.enhanced import functional_group, is_enhanced
from ctdenoise.io.dicom.read import NotDicomError, read_dataset

#: Less is no measurement: noise about air (−1000 HU) does not reach it, and scanners fill pixels outside their field of
#: view with less.
OUTSIDE_FIELD_HU = -1400.0
#: What replaces padding in HU arrays, so that networks see air there.
PADDING_FILL_HU = -1024.0


@dataclass(frozen=True)
class CTSlice:
    """One decoded CT image, or all frames of an enhanced one: arrays then begin with an axis of frames.

    Attributes
    ----------
    path
        The file it was read from.
    dataset
        All elements, with Pixel Data as encoded in the file.
    stored
        ``[Rows, Columns]`` integers as stored, unused bits removed.
    hu
        ``[Rows, Columns]`` float32; padding replaced by −1024 HU.
    padding
        ``[Rows, Columns]`` bool: pixels that are no image, by Pixel Padding Value (Range Limit) or far below air.
    slope, intercept
        From stored values to HU; ``[frames, 1, 1]`` for enhanced CT.
    frame_of
        The enhanced image and the number, from 1, of the frame that this image was made from; None for images as read.
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

    def shows_same_as(self, other: CTSlice) -> bool:
        """Whether another image has the same stored values and rescale."""
        return all(
            np.array_equal(mine, its)
            for mine, its in (
                (self.stored, other.stored),
                (self.slope, other.slope),
                (self.intercept, other.intercept),
            )
        )

    def to_stored(self, hu: NDArray[np.float32]) -> StoredPixels:
        """Turn processed HU into stored values by this slice's own rescale, rounding to the nearest (half to even).

        Padding pixels get their source's stored values; no other pixel gets a padding value. Values that the bit depth
        does not hold are clipped and counted. NaN becomes 0 and is counted, too.

        Parameters
        ----------
        hu
            Of the shape of `stored`.
        """
        if _is_whole_shift(self.slope, self.intercept, self.stored.dtype, even=True):
            # Rounding before the shift gives what rounding after it gives, ties included, as the shift is even.
            exact: NDArray[np.floating] = np.rint(hu)
            exact -= np.float32(self.intercept)
        else:
            exact = hu.astype(np.float64)
            exact -= self.intercept
            exact /= self.slope
            np.rint(exact, out=exact)
        padding = self.padding if self.padding.any() else None
        if padding is not None:
            np.copyto(exact, self.stored, where=padding)
        low, high = stored_limits(self.dataset)
        clipped = 0
        if not (exact.min() >= low and exact.max() <= high):  # NaN compares false
            clipped = exact.size - int(np.count_nonzero((exact >= low) & (exact <= high)))
            np.nan_to_num(exact, copy=False, nan=0.0, posinf=high, neginf=low)
            np.clip(exact, low, high, out=exact)
        values = exact.astype(self.stored.dtype)
        limits = padding_limits(self.dataset)
        if limits is not None:
            # PS3.3 C.7.5.1.1.2: a pixel with the padding value would be taken out of the image.
            first, last = limits
            np.copyto(values, last + 1 if last < high else first - 1, where=_between(values, first, last))
            if padding is not None:
                np.copyto(values, self.stored, where=padding)
        return StoredPixels(values, clipped)


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
        raise InputError("expected a DICOM file (PS3.10 section 7.1)", path=path, see=Help.NOT_DICOM) from None
    except InputError:
        raise
    except Exception as error:  # damaged elements raise many kinds, with values in their text
        raise InputError(f"damaged CT image ({type(error).__name__})", path=path, see=Help.DAMAGED) from error


def _read_slice(dataset: Dataset, path: Path) -> CTSlice:
    for keyword, tag, allowed in (
        ("SamplesPerPixel", "(0028,0002)", (1,)),
        ("PhotometricInterpretation", "(0028,0004)", ("MONOCHROME1", "MONOCHROME2")),
        ("PixelRepresentation", "(0028,0103)", (0, 1)),
    ):
        found = dataset.get(keyword)
        if found not in allowed:
            expected = " or ".join(map(str, allowed))
            shown = found if isinstance(found, int) else "none" if found is None else "another value"
            raise InputError(f"expected {expected}, found {shown}", path=path, tag=f"{keyword} {tag}")
    bits_stored, high_bit = int(dataset.BitsStored), int(dataset.get("HighBit", dataset.BitsStored - 1))
    if high_bit != bits_stored - 1:
        # PS3.5 section 8.1.1; decoders differ in what they make of anything else.
        raise InputError(
            f"expected BitsStored − 1 = {bits_stored - 1}, found {high_bit}", path=path, tag="HighBit (0028,0102)"
        )
    slope, intercept = rescale(dataset, path)
    check_size(dataset, path)
    stored = _decode(dataset, path)
    hu, padding = _to_hu(stored, slope, intercept)
    limits = padding_limits(dataset)
    if limits is not None:
        padding |= _between(stored, *limits)
    if padding.any():
        hu[padding] = PADDING_FILL_HU
    return CTSlice(path, dataset, stored, hu, padding, slope, intercept)


def _to_hu(
    stored: NDArray[np.integer], slope: NDArray[np.float64], intercept: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return HU, and which are outside the field of view."""
    if _is_whole_shift(slope, intercept, stored.dtype):
        hu = stored.astype(np.float32)
        hu += np.float32(intercept)
        return hu, hu < OUTSIDE_FIELD_HU
    exact = stored.astype(np.float64)
    exact *= slope
    exact += intercept
    return exact.astype(np.float32), exact < OUTSIDE_FIELD_HU


def _is_whole_shift(
    slope: NDArray[np.float64], intercept: NDArray[np.float64], dtype: np.dtype[np.integer], *, even: bool = False
) -> bool:
    """Whether float32 holds all HU exactly: stored values of up to 16 bits plus one whole, or even, number."""
    if np.ndim(slope) or slope != 1 or dtype.itemsize > 2:
        return False
    return bool(intercept % (2 if even else 1) == 0 and abs(intercept) < 2**23)


def _between(values: NDArray[np.integer], first: int, last: int) -> NDArray[np.bool_]:
    return values == first if first == last else (values >= first) & (values <= last)


def _decode(dataset: Dataset, path: Path) -> NDArray[np.integer]:
    if "PixelData" not in dataset:
        raise InputError("expected Pixel Data, found none", path=path, tag="PixelData (7FE0,0010)")
    try:
        pixels: NDArray[np.integer] = dataset.pixel_array
    except Exception as error:  # each codec plug-in raises its own kinds
        syntax = dataset.file_meta.TransferSyntaxUID
        name = syntax.name if syntax.is_transfer_syntax else "an unknown transfer syntax"
        if isinstance(error, NotImplementedError):
            hint = "no codec knows this transfer syntax; decompress the file with another program first"
        elif syntax == JPEGExtended12Bit:
            hint = "12 bits of this need another codec: pip install pylibjpeg-libjpeg (its licence is the GPL)"
        else:
            hint = "the file may be truncated; check it with another viewer and export it again"
        raise InputError(
            f"pixel data in {name} cannot be decoded ({type(error).__name__})",
            path=path,
            tag="PixelData (7FE0,0010)",
            hint=hint,
            see=Help.CANNOT_DECODE,
        ) from error
    if is_enhanced(dataset):
        return pixels.reshape(-1, *pixels.shape[-2:])
    if pixels.ndim != 2:
        raise InputError(f"expected one frame, found {pixels.shape[0]}", path=path, tag="NumberOfFrames (0028,0008)")
    return pixels
