"""How input files are named in manifests and messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctdenoise.io.dicom.deidentify import Deidentification


@dataclass(frozen=True)
class FileNames:
    """Names of input files for the user to read.

    Attributes
    ----------
    root
        Files are named relative to it.
    deidentification
        If given, a hash of the content stands in place of each name, which may hold a patient's.
    """

    root: Path
    deidentification: Deidentification | None = None

    def shown(self, path: Path) -> str:
        """Return the name of a file."""
        if self.deidentification:
            return self.deidentification.public_name(path)
        if path == self.root or not path.is_relative_to(self.root):
            return path.name
        return path.relative_to(self.root).as_posix()
