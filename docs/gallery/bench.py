"""What the sections of the gallery share: scanner, model, and figures of merit that their captions state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scans import FIELD_MM, NO_NOISE, Image, Scanner, small_lesions
from scipy.ndimage import maximum_filter, minimum_filter

from ctdenoise import Denoiser
from ctdenoise.evaluation import WINDOWS
from ctdenoise.inference.strength import StrengthEstimate, automatic_strength
from ctdenoise.noise.phantom import Ellipsoid, thorax

DOSES = (1.0, 0.5, 0.25, 0.1)
SOFT, LUNG, BONE = WINDOWS["soft-tissue"], WINDOWS["lung"], WINDOWS["bone"]
THICKNESS_MM = 2.5
#: Tissues that errors are measured in, HU.
TISSUES = {"soft tissue": (30.0, 60.0), "lung": (-860.0, -840.0), "marrow": (140.0, 160.0)}


@dataclass
class Bench:
    """Scanner, model, and the folder for pictures.

    Attributes
    ----------
    folder
        For pictures.
    denoiser
        The model that is shown.
    size
        Rows and columns of the thorax.
    """

    folder: Path
    denoiser: Denoiser
    size: int = 320

    @cached_property
    def scanner(self) -> Scanner:
        """The scanner of the thorax."""
        return Scanner(self.size, FIELD_MM / self.size)

    @cached_property
    def objects(self) -> list[Ellipsoid]:
        """The thorax of the demo with two lesions of 3 mm in its heart, beside its larger ones."""
        return thorax() + small_lesions()

    @cached_property
    def truth(self) -> Image:
        """The thorax without noise or blur."""
        return self.scanner.truth(self.objects)

    @cached_property
    def noise_free(self) -> Image:
        """The scan as it would be without noise."""
        return self.scanner.scan(self.objects, [NO_NOISE])[0]

    @cached_property
    def uniform(self) -> NDArray[np.bool_]:
        """The pixels that are at least 4 pixels away from any edge."""
        spread = maximum_filter(self.truth, 9) - minimum_filter(self.truth, 9)
        inside: NDArray[np.bool_] = spread < 0.5
        return inside

    @cached_property
    def scans(self) -> dict[float, Image]:
        """The thorax by dose."""
        return dict(zip(DOSES, self.scanner.scan(self.objects, DOSES), strict=True))

    @cached_property
    def cleaned(self) -> dict[float, Image]:
        """Those scans with all noise removed that the network finds: strength 1."""
        return {dose: self.denoised(image) for dose, image in self.scans.items()}

    @cached_property
    def body(self) -> tuple[slice, slice]:
        """Rows and columns of the body."""
        inside = np.argwhere(self.truth > -500)
        first, last = inside.min(0), inside.max(0) + 1
        return slice(first[0], last[0]), slice(first[1], last[1])

    def denoised(self, image: Image) -> Image:
        """Denoise one slice with strength 1."""
        result: Image = self.denoiser(image, strength=1.0)
        return result

    def estimate(self, image: Image, pixel_mm: float | None = None) -> StrengthEstimate:
        """Return the automatic strength for a slice of 2.5 mm."""
        return automatic_strength([image], pixel_mm or self.scanner.pixel_mm, THICKNESS_MM)

    def automatic(self, dose: float) -> tuple[float, Image]:
        """Return the automatic strength for the thorax at a dose, and the slice denoised with it."""
        strength = self.estimate(self.scans[dose]).strength
        return strength, blend(self.scans[dose], self.cleaned[dose], strength)

    def error(self, image: Image, tissue: tuple[float, float] = TISSUES["soft tissue"]) -> float:
        """Return the root-mean-square error against the truth in the uniform parts of a tissue, HU."""
        low, high = tissue
        where = self.uniform & (self.truth > low) & (self.truth < high)
        return float(np.sqrt(np.mean((image - self.truth)[where] ** 2)))

    def lesions_left(self, dose: float) -> float:
        """Return the share of the contrast of the lesions of 3 mm that strength 1 leaves.

        The lesions, with the scanner's blur and without noise, are taken out of the scan, which is denoised again; the
        difference of the two results is projected on that of the two scans.
        """
        (lesions,) = self.scanner.scan(small_lesions(), [NO_NOISE])
        before = lesions + np.float32(1000)  # a scan of nothing is −1000 HU
        after = self.cleaned[dose] - self.denoised(self.scans[dose] - before)
        return float((after * before).sum() / (before**2).sum())


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{100 * share:.0f} %"


def blend(source: Image, cleaned: Image, strength: float) -> Image:
    """Return the result at a strength, as ``--strength`` makes it."""
    return source + np.float32(strength) * (cleaned - source)
