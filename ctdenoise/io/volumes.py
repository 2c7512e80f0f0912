"""NIfTI, NRRD and MetaImage volumes in HU, through SimpleITK."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.pixels import AIR_HU, OUTSIDE_FIELD_HU

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def is_volume(path: Path) -> bool:
    """Whether a file's name says that it is a volume."""
    return path.name.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class Volume:
    """A volume as it was read.

    Attributes
    ----------
    image
        With geometry, metadata and pixel type.
    hu
        ``[D, H, W]`` float32; padding replaced by −1024 HU.
    padding
        ``[D, H, W]`` bool: voxels far below air.
    """

    image: SimpleITK.Image
    hu: NDArray[np.float32]
    padding: NDArray[np.bool_]

    @property
    def pixel_mm(self) -> float:
        """Voxel spacing along a column of a slice."""
        return float(self.image.GetSpacing()[1])

    @property
    def thickness_mm(self) -> float | None:
        """Spacing of the slices; None for a single image."""
        return float(self.image.GetSpacing()[2]) if self.image.GetDimension() == 3 else None

    def write(self, hu: NDArray[np.float32], path: Path) -> int:
        """Write other HU with this volume's geometry, metadata and pixel type; the name is given when it is whole.

        Padding gets back what it was.

        Returns
        -------
        int
            How many values had to be saturated because the pixel type does not hold them.
        """
        source = SimpleITK.GetArrayFromImage(self.image)
        values, clipped = hu.astype(np.float64), 0
        if np.issubdtype(source.dtype, np.integer):
            limits = np.iinfo(source.dtype)
            exact = np.rint(values)
            values = np.clip(exact, limits.min, limits.max)
            clipped = int(np.count_nonzero((values != exact) & ~self.padding))
        values = np.where(self.padding, source.reshape(values.shape), values)
        image = SimpleITK.GetImageFromArray(values.astype(source.dtype).reshape(source.shape))
        image.CopyInformation(self.image)
        for key in self.image.GetMetaDataKeys():
            image.SetMetaData(key, self.image.GetMetaData(key))
        # The suffix decides the format, so the temporary name keeps it.
        partial = path.with_name(f".partial-{path.name}")
        try:
            SimpleITK.WriteImage(image, partial, useCompression=not path.name.lower().endswith(".nii"))
            partial.replace(path)
        except RuntimeError as error:
            raise InputError("cannot be written", path=path, hint="free space or choose another folder") from error
        finally:
            partial.unlink(missing_ok=True)
        return clipped


def read_volume(path: Path) -> Volume:
    """Read a volume of HU.

    Raises
    ------
    InputError
        If it cannot be read, or is not a scalar volume of two or three dimensions.
    """
    if not path.is_file():
        raise InputError("expected a volume, found nothing there", path=path)
    try:
        image = SimpleITK.ReadImage(path)
    except RuntimeError as error:
        raise InputError(
            "expected a NIfTI, NRRD or MetaImage volume, found one that cannot be read",
            path=path,
            hint="the file may be damaged or cut off",
        ) from error
    if image.GetDimension() not in (2, 3) or image.GetNumberOfComponentsPerPixel() != 1:
        found = f"{image.GetDimension()} dimensions, {image.GetNumberOfComponentsPerPixel()} component(s) a voxel"
        raise InputError(f"expected one HU value a voxel in 2 or 3 dimensions, found {found}", path=path)
    hu = SimpleITK.GetArrayFromImage(image).astype(np.float32)
    hu = hu.reshape(-1, *hu.shape[-2:])
    padding = hu < OUTSIDE_FIELD_HU
    return Volume(image, np.where(padding, np.float32(AIR_HU), hu), padding)
