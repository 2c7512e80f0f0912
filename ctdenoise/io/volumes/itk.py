"""NRRD and MetaImage through SimpleITK."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.files import TEMPORARY, atomic_path
from ctdenoise.io.volumes.volume import Volume, voxel_sizes_are_possible

if TYPE_CHECKING:
    import SimpleITK

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
#: Suffixes of headers whose voxels are in a file of their own, which SimpleITK gives the suffix ``.raw``.
_DETACHED = {".mhd": ".nhdr", ".nhdr": ".mhd"}
#: What SimpleITK shows of header fields that are not text, and cannot set.
_NOT_TEXT = "[UNKNOWN_PRINT_CHARACTERISTICS]"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class ItkVolume(Volume):
    """A NRRD or MetaImage volume.

    Attributes
    ----------
    image
        As SimpleITK read it.
    metadata
        Header fields and key-value pairs to write.
    """

    image: SimpleITK.Image
    metadata: dict[str, str]

    def without_identity(self) -> Self:
        """Return the volume without header fields that are not geometry, and without key-value pairs."""
        return replace(self, metadata={})

    def _save(self, stored: NDArray[Any], path: Path) -> None:
        import SimpleITK

        size = self.image.GetSize()[::-1]
        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(stored.T).reshape(size), isVector=False)
        image.CopyInformation(self.image)
        for key, value in self.metadata.items():
            image.SetMetaData(key, value)
        suffix = path.suffix.lower()
        if suffix not in _DETACHED:
            with atomic_path(path) as partial:
                SimpleITK.WriteImage(image, partial, useCompression=True)
            return
        other = path.with_suffix(_DETACHED[suffix])
        if other.exists():
            raise InputError(f"its voxels would replace those of {other.name}", path=path, hint="choose another folder")
        # The header names the file of the voxels, so both get their final names in a temporary folder.
        with TemporaryDirectory(prefix=TEMPORARY, dir=path.parent) as folder:
            header = Path(folder, path.name)
            SimpleITK.WriteImage(image, header, useCompression=False)
            for file in sorted(Path(folder).iterdir(), key=lambda file: file == header):
                file.replace(path.with_name(file.name))


def read_itk(path: Path) -> ItkVolume:
    """Read a NRRD or MetaImage volume.

    Raises
    ------
    InputError
        If it is damaged, of more than four dimensions or without one real number for each voxel.
    """
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(path)
    except RuntimeError as error:
        raise InputError(
            "expected a NRRD or MetaImage volume, found one that cannot be read",
            path=path,
            hint="the file may be damaged or cut off, or the file of its voxels may be missing",
        ) from error
    dimensions, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if components != 1 or "complex" in image.GetPixelIDTypeAsString() or not 2 <= dimensions <= 4:
        found = f"{dimensions} dimensions, {components} component(s) of {image.GetPixelIDTypeAsString()} a voxel"
        raise InputError(f"expected one HU value a voxel in 2 to 4 dimensions, found {found}", path=path)
    affine = _affine(image)
    if not voxel_sizes_are_possible(affine):
        raise InputError(f"expected finite positions and spacing above 0, found {image.GetSpacing()} mm", path=path)
    size = (*image.GetSize(), 1, 1)[:4]
    return ItkVolume(
        stored=SimpleITK.GetArrayViewFromImage(image).T.reshape(size, order="F"),
        affine=affine,
        flat=dimensions == 2,
        image=image,
        metadata=_metadata(image),
    )


def _affine(image: SimpleITK.Image) -> NDArray[np.float64]:
    """Return voxel index to mm in LPS; of the space in a space-time image."""
    dimensions = image.GetDimension()
    axes = min(dimensions, 3)
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(dimensions, dimensions)
    affine[:axes, :axes] = (direction * image.GetSpacing())[:axes, :axes]
    affine[:axes, 3] = image.GetOrigin()[:axes]
    return affine


def _metadata(image: SimpleITK.Image) -> dict[str, str]:
    """Return what SimpleITK can write again; it writes those named ITK… by itself."""
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if not key.startswith("ITK_")}
    lost = sorted(key for key, value in fields.items() if _NOT_TEXT in value)
    if lost:
        _log.warning("header fields that SimpleITK cannot write are left out: %s", ", ".join(lost))
    return {key: value for key, value in fields.items() if key not in lost}
