"""Options of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ctdenoise.io.dicom.deidentify import Deidentification
from ctdenoise.io.dicom.derivation import DicomOutput
from ctdenoise.io.transfer_syntax import TransferSyntax


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What to process and how to write the result.

    Parameters
    ----------
    strength
        Denoising only: 0 returns the source, 1 the network's output, values in between blend linearly. None leaves
        about the noise of a full-dose scan: see :func:`~ctdenoise.inference.strength.automatic_strength`.
    overwrite
        Remove earlier results of the same request and process everything again.
    series
        Only the series with this SeriesInstanceUID or SeriesNumber.
    transfer_syntax
        Encoding of derived DICOM files, all lossless; ``source`` is the source's own where it is lossless and can be
        written.
    classic
        Write the frames of enhanced CT as classic images, one file each.
    drop_private
        Leave private elements out.
    deidentification
        Apply the basic profile of PS3.15 annex E; None keeps the patient's data.
    random_uids
        Draw UIDs at random, in place of those that follow from source, operation and pixels.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    strength: float | None = None
    overwrite: bool = False
    series: str | None = None
    transfer_syntax: str = "explicit"
    classic: bool = False
    drop_private: bool = False
    deidentification: Deidentification | None = None
    random_uids: bool = False

    def __post_init__(self) -> None:
        check_strength(self.strength)
        choices = [choice.value for choice in TransferSyntax]
        if str(self.transfer_syntax) not in choices:
            raise ValueError(f"transfer_syntax: expected one of {', '.join(choices)}, found {self.transfer_syntax!r}")

    def dicom_output(self, salt: str = "") -> DicomOutput:
        """Return the options for writing DICOM objects."""
        return DicomOutput(
            transfer_syntax=self.transfer_syntax,
            classic=self.classic,
            drop_private=self.drop_private,
            deidentification=self.deidentification and replace(self.deidentification, uid_salt=salt),
            salt=salt,
        )

    def dicom_only(self) -> list[str]:
        """Return the options that were set and have no meaning for volumes and photographs, as on the command line."""
        given = {
            "--series": self.series is not None,
            "--transfer-syntax": self.transfer_syntax != "explicit",
            "--classic": self.classic,
            "--drop-private": self.drop_private,
            "--random-uids": self.random_uids,
        }
        return [name for name, is_set in given.items() if is_set]


def check_strength(strength: float | None) -> None:
    """Raise ValueError unless it is None, for automatic, or 0 ≤ strength ≤ 1."""
    if strength is not None and (isinstance(strength, str) or not 0 <= strength <= 1):
        raise ValueError(f"strength: expected a value from 0 to 1, or None for automatic, found {strength}")
