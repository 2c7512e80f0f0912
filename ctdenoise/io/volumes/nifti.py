"""NIfTI-1 and NIfTI-2, in one file or as a pair of header and data.

The bytes of the header are kept and written back, so that nothing in it can be lost; nibabel says what they mean.
"""

from __future__ import annotations

import gzip
import io
import logging
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.files import atomic_path, write_whole
from ctdenoise.io.volumes.volume import LPS_RAS, Volume, voxel_sizes_are_possible

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
_TEXT = ("descrip", "aux_file", "db_name", "intent_name", "data_type", "unused_str")
#: Millimetres by the spatial part of xyzt_units (lowest three bits): metre, millimetre, micrometre
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class NiftiVolume(Volume):
    """A NIfTI volume.

    Attributes
    ----------
    header
        As nibabel reads it, with its repairs of invalid fields.
    header_file
        All bytes of the ``.hdr`` file of a pair; None where header and data are in one file.
    before, after
        Bytes before and after the voxels in the file that holds these; in a single file, `before` is the header with
        its extensions.
    """

    header: Nifti1Header
    header_file: bytes | None
    before: bytes
    after: bytes

    def without_identity(self) -> Self:
        """Return the volume without header text (description, file names, intent name) and header extensions."""
        header = type(self.header)(self.header.binaryblock, self.header.endianness, check=False)
        for name in set(_TEXT) & set(header.keys()):
            header[name] = b""
        header["vox_offset"] = 0  # nibabel sets it to the end of the header
        stream = io.BytesIO()
        header.write_to(stream)
        block = stream.getvalue()
        if self.header_file is None:
            return replace(self, header=header, before=block, after=b"")
        return replace(self, header=header, header_file=block, before=b"", after=b"")

    def _save(self, stored: NDArray[Any], path: Path) -> None:
        if path.name.lower().endswith((".hdr", ".img")) != (self.header_file is not None):
            raise ValueError(f"expected a name for the same kind of NIfTI file, found {path.name}")
        header_path, data_path = pair_paths(path)
        with atomic_path(data_path) as partial, partial.open("wb") as file:
            if path.name.lower().endswith(".gz"):
                # Neither name nor time in the file: equal volumes are equal files. Level 1 is nibabel's default.
                with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as compressed:
                    self._write_data(stored, compressed)
            else:
                self._write_data(stored, file)
        if self.header_file is not None:
            write_whole(header_path, self.header_file)

    def _write_data(self, stored: NDArray[Any], file: Any) -> None:
        file.write(self.before)
        for frame in stored.T:
            file.write(np.ascontiguousarray(frame).data.cast("B"))
        file.write(self.after)


def write_nifti_map(values: NDArray[np.float32], volume: Volume, path: Path) -> None:
    """Write a value for each voxel of a volume as a compressed NIfTI-1 file with 32-bit floating point values.

    Parameters
    ----------
    values
        ``[N, H, W]``, as :attr:`~ctdenoise.io.volumes.volume.Volume.hu`.
    volume
        Of any format; its geometry and the order of its axes are kept.
    path
        A name that ends in ``.nii.gz``.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    from nibabel.nifti1 import Nifti1Image

    arranged = volume.in_file_order(values)
    if arranged.shape[3] == 1:
        arranged = arranged[..., 0]
    image = Nifti1Image(arranged, LPS_RAS @ volume.affine)
    image.header.set_xyzt_units("mm")
    with (
        atomic_path(path) as partial,
        partial.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as compressed,
    ):
        compressed.write(image.to_bytes())


def pair_paths(path: Path) -> tuple[Path, Path]:
    """Return the paths of header and data: two for ``.hdr`` and ``.img``, else `path` twice."""
    suffix = path.suffix
    if suffix.lower() not in (".hdr", ".img"):
        return path, path
    header, data = (".HDR", ".IMG") if suffix.isupper() else (".hdr", ".img")
    return path.with_suffix(header), path.with_suffix(data)


def read_nifti(path: Path) -> NiftiVolume:
    """Read a NIfTI volume; either file of a pair may be named.

    Raises
    ------
    InputError
        If it is damaged, Analyze 7.5, of more than four dimensions or without one real number for each voxel.
    """
    header_path, data_path = pair_paths(path)
    content = _read(data_path)
    header_file = None if header_path == data_path else _read(header_path)
    header = _parse(content if header_file is None else header_file, path, single=header_file is None)
    dtype, shape = header.get_data_dtype(), header.get_data_shape()
    if dtype.kind not in "iuf":
        found = header._data_type_codes.label[int(header["datatype"])]
        raise InputError(f"expected one integer or real number for each voxel, found {found}", path=path)
    if len(shape) < 2 or min(shape) < 1 or any(size > 1 for size in shape[4:]):
        raise InputError(f"expected 2 to 4 dimensions, found a shape of {shape}", path=path)
    if not header["vox_offset"] >= 0:  # it is a real number in NIfTI-1, and may be NaN
        raise InputError(f"expected a number of bytes from 0, found vox_offset {header['vox_offset']}", path=path)
    offset = int(min(header["vox_offset"], len(content)))
    if header_file is None:
        offset = offset or header.single_vox_offset
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(content) < offset + size:
        raise InputError(
            f"expected {size} bytes of voxels, found {max(0, len(content) - offset)}",
            path=data_path,
            hint="the file may be damaged or cut off",
        )
    frames = shape[3] if len(shape) > 3 else 1
    stored = np.frombuffer(content, dtype, size // dtype.itemsize, offset)
    slope, intercept = _scaling(header, path)
    return NiftiVolume(
        stored=stored.reshape((*shape[:2], shape[2] if len(shape) > 2 else 1, frames), order="F"),
        affine=LPS_RAS @ _affine(header, path),
        slope=slope,
        intercept=intercept,
        flat=len(shape) == 2,
        header=header,
        header_file=header_file,
        before=content[:offset],
        after=content[offset + size :],
    )


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.name.lower().endswith(".gz") else content
    except FileNotFoundError:
        raise InputError(
            "expected the other file of a NIfTI pair (.hdr and .img), found nothing there", path=path
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path) from error


def _parse(block: bytes, path: Path, *, single: bool) -> Nifti1Header:
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader
    from nibabel.spatialimages import HeaderDataError

    kinds = (Nifti1Header, Nifti2Header) if single else (Nifti1PairHeader, Nifti2PairHeader)
    for kind in kinds:
        if kind.may_contain_header(block):
            try:
                header = kind(block[: kind.sizeof_hdr])
            except HeaderDataError as error:
                raise InputError(f"expected a valid NIfTI header, found: {error}", path=path) from error
            magic = header["magic"].item()
            if single and magic == header.pair_magic:
                raise InputError("expected header and voxels in one file, found only a header", path=path)
            return header
    if len(block) >= 348 and (348).to_bytes(4, "little") in (block[:4], block[3::-1]):
        raise InputError(
            "expected NIfTI, found Analyze 7.5, which does not tell left from right",
            path=path,
            hint="convert it to NIfTI",
        )
    raise _unreadable(path)


def _unreadable(path: Path) -> InputError:
    return InputError(
        "expected a NIfTI volume, found one that cannot be read", path=path, hint="the file may be damaged or cut off"
    )


def _scaling(header: Nifti1Header, path: Path) -> tuple[float, float]:
    """Return slope and intercept; 1 and 0 where the header has none (``scl_slope`` 0 or NaN)."""
    from nibabel.spatialimages import HeaderDataError

    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(f"expected a finite scl_inter, found: {error}", path=path) from error
    return (1.0, 0.0) if slope is None else (slope, intercept)


def _affine(header: Nifti1Header, path: Path) -> NDArray[np.float64]:
    """Return voxel index to mm in RAS: sform, else qform, else spacing alone; the first that can be inverted."""
    from nibabel.spatialimages import HeaderDataError

    scale = _MM.get(int(header["xyzt_units"]) % 8, 1.0)
    to_mm = np.array([[scale], [scale], [scale], [1.0]])
    for code, get in (("sform_code", header.get_sform), ("qform_code", header.get_qform)):
        if not header[code]:
            continue
        try:
            affine = to_mm * np.asarray(get(), np.float64)
        except HeaderDataError:
            affine = np.zeros((4, 4))
        if voxel_sizes_are_possible(affine):
            return affine
        _log.warning("a NIfTI header has a %s but no valid transform for it, which is ignored", code)
    _log.warning("a NIfTI header has no orientation; its planes are taken for axial ones")
    affine = to_mm * np.asarray(header.get_base_affine(), np.float64)
    if not voxel_sizes_are_possible(affine):
        raise InputError("expected voxel sizes above 0, found others in pixdim", path=path)
    return affine
