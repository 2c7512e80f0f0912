"""What a run is told: one object, from the command line or Python down to the slice."""

from __future__ import annotations

from dataclasses import dataclass

from ctdenoise.io.dicom.encode import SOURCE, TRANSFER_SYNTAXES


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to denoise, and how to write what comes out.

    Parameters
    ----------
    strength
        0 returns the source, 1 the network's output, values in between blend linearly. None leaves about the noise of
        a full-dose scan: see :func:`~ctdenoise.inference.strength.automatic_strength`.
    overwrite
        Write again what is there already.
    series
        A SeriesInstanceUID or SeriesNumber: only this one.
    report
        Write a report beside each result: noise, resolution, tissues and pictures of some slices.
    transfer_syntax
        ``"explicit"`` (little endian), ``"rle"``, ``"jpeg-ls"``, ``"jpeg-2000"``, or ``"source"`` for the source's own
        where it is lossless and can be written; all are lossless. DICOM only, as are those that follow.
    classic
        Write the frames of enhanced CT as classic images, one file each.
    drop_private
        Leave private elements out.
    deidentify
        Apply the basic profile of PS3.15 annex E.
    random_uids
        UIDs that nothing can be told from, instead of those that follow from source, model and options.

    Raises
    ------
    ValueError
        If a value is none of these.
    """

    strength: float | None = None
    overwrite: bool = False
    series: str | None = None
    report: bool = False
    transfer_syntax: str = "explicit"
    classic: bool = False
    drop_private: bool = False
    deidentify: bool = False
    random_uids: bool = False

    def __post_init__(self) -> None:
        check_strength(self.strength)
        if self.transfer_syntax not in (*TRANSFER_SYNTAXES, SOURCE):
            expected = ", ".join((*TRANSFER_SYNTAXES, SOURCE))
            raise ValueError(f"transfer_syntax: expected one of {expected}, found {self.transfer_syntax!r}")


def check_strength(strength: float | None) -> None:
    """Raise ValueError unless it is None, for automatic, or 0 ≤ strength ≤ 1."""
    if strength is not None and not 0 <= strength <= 1:
        raise ValueError(f"strength: expected a value from 0 to 1, found {strength}")
