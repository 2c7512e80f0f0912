"""What all volumes have in common: stored values with a geometry, seen as axial planes of HU."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import Help, InputError
from ctdenoise.io.dicom.pixels import OUTSIDE_FIELD_HU, PADDING_FILL_HU
from ctdenoise.io.neighbours import Plane

#: From patient coordinates of DICOM (x to the left, y to the back, PS3.3 C.7.6.2.1.1) to those of NIfTI and back.
LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Directions of columns, rows and slices, by the patient axis along which the slices follow each other: axial planes
#: as radiologists look at them; and the sagittal or coronal plane of an image that is only one voxel thick.
_DIRECTIONS = {2: "LPS", 1: "LIP", 0: "PIL"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Volume(ABC):
    """A volume as it was read.

    Attributes
    ----------
    stored
        ``[I, J, K, T]`` numbers as in the file, in the order of its axes; T time points.
    affine
        ``[4, 4]``: voxel index ``(i, j, k, 1)`` to patient coordinates in mm, x to the left, y to the back (LPS).
    slope, intercept
        HU = stored × slope + intercept.
    flat
        A 2-D image: it has no slice thickness.
    """

    stored: NDArray[Any]
    affine: NDArray[np.float64]
    slope: float = 1.0
    intercept: float = 0.0
    flat: bool = False

    @cached_property
    def hu(self) -> NDArray[np.float32]:
        """``[N, H, W]`` HU of axial planes, frame after frame; padding replaced by −1024 HU.

        Rows go to the patient's back, columns to the left, slices to the head (those of an oblique volume, as nearly as
        its axes do). A volume that is one voxel thick along another axis keeps that plane.
        """
        return np.where(self.padding, np.float32(PADDING_FILL_HU), self._values)

    @cached_property
    def padding(self) -> NDArray[np.bool_]:
        """``[N, H, W]``: voxels that are no image: NaN, infinite, or far below air (under −1400 HU)."""
        return ~np.isfinite(self._values) | (self._values < OUTSIDE_FIELD_HU)

    @property
    def frames(self) -> int:
        """Time points; each has N / frames planes."""
        return int(self.stored.shape[3])

    @property
    def neighbourhood(self) -> list[Plane]:
        """Where each plane is among its neighbours: in order, at equal distances, within a time point."""
        depth = len(self.hu) // self.frames
        return [Plane(float(index), (index // depth,)) for index in range(len(self.hu))]

    @property
    def pixel_spacing_mm(self) -> float | None:
        """Distance between the rows of a plane."""
        return float(np.linalg.norm(self.plane_affine[:3, 1])) or None

    @property
    def slice_thickness_mm(self) -> float | None:
        """Distance between planes, along their normal; None for a 2-D image."""
        column, row, step = self.plane_affine[:3, :3].T
        normal = np.cross(column, row)
        return None if self.flat else float(abs(normal @ step) / np.linalg.norm(normal)) or None

    @cached_property
    def plane_affine(self) -> NDArray[np.float64]:
        """``[4, 4]``: ``(column, row, plane of a frame, 1)`` of `hu` to patient coordinates in mm (LPS)."""
        from nibabel.orientations import inv_ornt_aff

        affine: NDArray[np.float64] = self.affine @ inv_ornt_aff(self._orientation, self.stored.shape[:3])
        return affine

    def in_file_order(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a value for each voxel, ``[N, H, W]`` as :attr:`hu`, in the order of :attr:`stored`."""
        arranged = np.empty(self.stored.shape, np.float32)
        planes = self._planes(arranged)
        planes[...] = values.reshape(planes.shape)
        return arranged

    def content_sha256(self) -> str:
        """Hash of values, type and geometry; not of names, text or compression."""
        little_endian = self.stored.dtype.newbyteorder("<")
        digest = hashlib.sha256(f"{little_endian.str} {self.stored.shape} {self.flat}".encode())
        digest.update(np.array([self.slope, self.intercept, *self.affine.ravel()], "<f8").tobytes())
        for frame in self.stored.T:
            digest.update(np.ascontiguousarray(frame, little_endian).data)
        return digest.hexdigest()

    def to_stored(self, hu: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        """Return processed HU as ``[I, J, K, T]`` values to store, and how many had to be saturated.

        Values are rounded to the nearest for integer types. Padding, and voxels whose HU are the same as in `hu`, keep
        their stored value exactly.

        Raises
        ------
        ValueError
            If the HU have another shape than `hu`, or are not finite.
        """
        if hu.shape != self.hu.shape:
            raise ValueError(f"expected HU of shape {self.hu.shape}, found {hu.shape}")
        result, clipped = self.stored.copy(order="K"), 0
        planes = self._planes(result)
        for index, place in enumerate(np.ndindex(planes.shape[:2])):
            changed = (hu[index] != self.hu[index]) & ~self.padding[index]
            exact = (hu[index] - np.float64(self.intercept)) / np.float64(self.slope)
            if not np.isfinite(exact, where=changed, out=np.ones_like(changed)).all():
                raise ValueError(f"expected finite HU, found others in plane {index}")
            if result.dtype.kind in "iu":
                np.rint(exact, out=exact)
                values = np.clip(exact, *_limits(result.dtype))
                clipped += int(np.count_nonzero((values != exact) & changed))
                exact = values
            np.copyto(planes[place], exact, casting="unsafe", where=changed)
        return result, clipped

    def write(self, hu: NDArray[np.float32], path: Path) -> int:
        """Write processed HU with the header, geometry and data type of this volume.

        Parameters
        ----------
        hu
            ``[N, H, W]``, as the attribute.
        path
            A name of the same file format. A file of that name is replaced when the new one is complete.

        Returns
        -------
        int
            How many values had to be saturated because the data type does not hold them.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        stored, clipped = self.to_stored(hu)
        try:
            self._save(stored, path)
        except (OSError, RuntimeError) as error:
            raise InputError(
                "cannot be written", path=path, hint="free space or choose another folder", see=Help.CANNOT_WRITE
            ) from error
        return clipped

    @abstractmethod
    def without_identity(self) -> Self:
        """Return the volume without the free text of its header, in which a patient may be named."""

    @abstractmethod
    def _save(self, stored: NDArray[Any], path: Path) -> None:
        """Write ``[I, J, K, T]`` values of the type of `stored`."""

    @cached_property
    def _values(self) -> NDArray[np.float32]:
        planes = self._planes(self.stored)
        values = np.empty((planes.shape[0] * planes.shape[1], *planes.shape[2:]), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # what float32 does not hold is padding
            for index, place in enumerate(np.ndindex(planes.shape[:2])):
                values[index] = planes[place] * np.float64(self.slope) + self.intercept
        return values

    @cached_property
    def _orientation(self) -> NDArray[np.float64]:
        """Permutation and flips from stored axes to columns, rows, planes, as nibabel describes them."""
        from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

        stored = io_orientation(LPS_RAS @ self.affine)
        thin = [int(axis) for axis, size in zip(stored[:, 0], self.stored.shape[:3], strict=True) if size == 1]
        directions = _DIRECTIONS[thin[0] if len(thin) == 1 else 2]
        orientation: NDArray[np.float64] = ornt_transform(stored, axcodes2ornt(tuple(directions)))
        return orientation

    def _planes(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return a view ``[T, D, H, W]`` of ``[I, J, K, T]``."""
        from nibabel.orientations import apply_orientation

        view: NDArray[Any] = apply_orientation(stored, self._orientation)
        return view.T


def voxel_sizes_are_possible(affine: NDArray[np.float64]) -> bool:
    """Whether a ``[4, 4]`` matrix, voxel index to mm, is invertible, with voxels from 1 nm to 1 km."""
    if not np.isfinite(affine).all():
        return False
    with np.errstate(over="ignore"):
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return bool((sizes > 1e-6).all() and (sizes < 1e6).all() and np.linalg.matrix_rank(affine[:3, :3] / sizes) == 3)


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the least and the greatest number in float64 that an integer type holds."""
    limits = np.iinfo(dtype)
    highest = float(limits.max)
    return float(limits.min), float(np.nextafter(highest, 0)) if highest > limits.max else highest
