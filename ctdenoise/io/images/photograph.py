"""What all photographs have in common: values in [0, 1], and how they are stored."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import Help, InputError
from ctdenoise.files import atomic_path


@dataclass(frozen=True, eq=False, kw_only=True)
class Photograph(ABC):
    """A photograph as it was read.

    Attributes
    ----------
    values
        ``[H, W, 1]`` or ``[H, W, 3]`` float32 in [0, 1].
    alpha
        ``[H, W, 1]`` as stored, or None.
    dtype
        uint8 or uint16, of the file.
    """

    values: NDArray[np.float32]
    alpha: NDArray[Any] | None
    dtype: np.dtype[Any]

    def content_sha256(self) -> str:
        """Hash of pixels and type; not of names, text or compression."""
        digest = hashlib.sha256(f"{self.dtype.str} {self.values.shape}".encode())
        digest.update(np.ascontiguousarray(self.values, "<f4").data)
        if self.alpha is not None:
            digest.update(np.ascontiguousarray(self.alpha, self.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def write(self, values: NDArray[np.float32], path: Path) -> int:
        """Write processed values with the depth, transparency and metadata of this photograph, in its file format.

        Parameters
        ----------
        values
            ``[H, W, 1]`` or ``[H, W, 3]``, as the attribute.
        path
            A file of that name is replaced when the new one is complete.

        Returns
        -------
        int
            How many values were outside [0, 1] and had to be clipped.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        stored = np.rint(np.clip(values, 0, 1) * np.iinfo(self.dtype).max).astype(self.dtype)
        if self.alpha is not None:
            stored = np.concatenate((stored, self.alpha), axis=2)
        try:
            with atomic_path(path) as partial:
                self._save(stored, partial)
        except (OSError, RuntimeError) as error:
            raise InputError(
                "cannot be written", path=path, hint="free space or choose another folder", see=Help.CANNOT_WRITE
            ) from error
        return int(np.count_nonzero((values < 0) | (values > 1)))

    @abstractmethod
    def without_identity(self) -> Self:
        """Return the photograph without EXIF and other text; ICC profile, resolution and orientation are kept."""

    @abstractmethod
    def _save(self, stored: NDArray[Any], path: Path) -> None:
        """Write ``[H, W, C]`` uint8 or uint16."""
