"""Named display windows in HU: the ranges that metrics and pictures are restricted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Window:
    """A range of values, to which images are clipped before they are compared or shown.

    Attributes
    ----------
    name
        Name in results and reports.
    low, high
        Lower and upper end, HU; in [0, 1] for photographs.
    """

    name: str
    low: float
    high: float

    @property
    def width(self) -> float:
        """Window width: the data range of PSNR and SSIM."""
        return self.high - self.low


class WindowName(StrEnum):
    """Names of the windows that can be chosen."""

    FULL = "full"
    SOFT_TISSUE = "soft-tissue"
    LUNG = "lung"
    BONE = "bone"
    BRAIN = "brain"
    MEDIASTINUM = "mediastinum"


WINDOWS: Mapping[str, Window] = {
    window.name: window
    for window in (
        Window(WindowName.FULL.value, -1024, 3072),
        Window(WindowName.SOFT_TISSUE.value, -160, 240),
        Window(WindowName.LUNG.value, -1350, 150),
        Window(WindowName.BONE.value, -450, 1050),
        Window(WindowName.BRAIN.value, 0, 80),
        Window(WindowName.MEDIASTINUM.value, -125, 225),
    )
}
#: Windows of an evaluation that names none.
DEFAULT_WINDOWS = (WindowName.FULL.value, WindowName.SOFT_TISSUE.value, WindowName.LUNG.value)
#: The value range of photographs, which have no HU.
UNIT_RANGE = Window("image", 0, 1)
