"""How input files are named in manifests and messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctdenoise.io.dicom.archive import OpenedInput
from ctdenoise.io.dicom.deidentify import Deidentification


@dataclass(frozen=True)
class FileNames:
    """Names of input files for the user to read.

    Attributes
    ----------
    source
        Files are named as in this input.
    deidentification
        If given, a hash of the content stands in place of each name, which may hold a patient's.
    """

    source: OpenedInput
    deidentification: Deidentification | None = None

    def shown(self, path: Path) -> str:
        """Return the name of a file."""
        if self.deidentification:
            return self.deidentification.public_name(path)
        return self.source.name(path)
