"""Automatic denoising strength: derived from the noise of a series."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ctdenoise.noise.lowdose import WATER_PER_MM
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.noise.soft_tissue import SoftTissueNoise, measure_soft_tissue_noise

#: Most slices of a series that are measured.
MAX_SLICES = 16
#: Strength where no slice has soft tissue in which noise could be measured.
FALLBACK_STRENGTH = 0.5
#: Strength for a scan that is known to be full-dose: a third of its noise is removed.
FULL_DOSE_STRENGTH = 0.33
#: Noise of a full-dose body scan, HU, at this slice thickness, mean noise frequency and water-equivalent diameter.
FULL_DOSE_HU, FULL_DOSE_THICKNESS_MM, FULL_DOSE_PER_MM, FULL_DOSE_DIAMETER_MM = 8.5, 2.5, 0.31, 280.0
#: Standard deviation of the natural logarithm of a full-dose scan's noise about what :func:`full_dose_noise` says.
FULL_DOSE_SPREAD = 0.33
#: Share of all scans that are full-dose, as far as is known before noise is measured.
FULL_DOSE_SHARE = 0.5
#: Doses that the other scans may have, relative to full dose: from the first to the second, evenly on a log scale.
DOSES = (1.0, 0.1)
#: Change of the noise's logarithm over that of water's attenuation along the patient's diameter; 0.5 at constant tube
#: current, 0.25 at the modulation that is best for noise.
DIAMETER_EXPONENT = 0.3
#: Pixel spacing and slice thickness that are assumed where the source does not give them, mm.
ASSUMED_PIXEL_MM, ASSUMED_THICKNESS_MM = 0.7, 2.5
#: Values are clipped to this for measuring, HU.
LARGEST_HU = 4096.0
#: Natural logarithm of the largest ratio of noise to full-dose noise, and of its inverse, that is distinguished.
LARGEST_EXCESS = 5.0
#: Mean noise frequency from which on a kernel is sharp (bone, lung), cycles per mm, and strength from which on a sharp
#: kernel is warned of.
SHARP_PER_MM, SHARP_STRENGTH = 0.42, 0.5


@dataclass(frozen=True)
class StrengthEstimate:
    """An automatic strength and the measurements it was derived from.

    Attributes
    ----------
    strength
        0.33 to 0.9, rounded to 0.01.
    noise_hu
        Standard deviation of the noise in soft tissue above 0.15 cycles per mm, HU, median over slices; None where no
        slice has soft tissue.
    full_dose_noise_hu
        Noise expected of a full-dose scan with the same slice thickness, kernel and patient diameter, HU.
    mean_frequency_per_mm
        Mean frequency of the noise, cycles per mm, median over slices: the sharpness of the kernel.
    soft_tissue_cm2
        Area in which noise was measured, all slices together, cm².
    slices
        Number of slices in which noise was measured.
    warnings
        Assumptions made and doubts, one sentence each.
    """

    strength: float
    noise_hu: float | None
    full_dose_noise_hu: float | None
    mean_frequency_per_mm: float | None
    soft_tissue_cm2: float
    slices: int
    warnings: tuple[str, ...]


def automatic_strength(
    images: Sequence[NDArray[np.float32]], pixel_spacing_mm: float | None, slice_thickness_mm: float | None
) -> StrengthEstimate:
    """Derive the strength for a series from the noise in some of its slices.

    In each slice, noise is measured in soft tissue and compared with that of a full-dose scan. The median over the
    slices of the logarithm of their ratio decides: the strength is its expected best value, as derived in
    ``docs/strength.md``.

    Parameters
    ----------
    images
        Slices of the series, ``[H, W]`` HU each; :func:`sample_indices` says which. Sizes may differ.
    pixel_spacing_mm
        0.7 is assumed where it is None.
    slice_thickness_mm
        2.5 is assumed where it is None.

    Returns
    -------
    StrengthEstimate
        With strength 0.5 where no slice has at least 10 cm² of soft tissue.
    """
    warnings = _assumptions(pixel_spacing_mm, slice_thickness_mm)
    pixel = pixel_spacing_mm or ASSUMED_PIXEL_MM
    thickness = slice_thickness_mm or ASSUMED_THICKNESS_MM
    found = _noise_of([_clip(image) for image in images], pixel)
    if not found:
        warnings.append(f"no soft tissue to measure noise in: strength {FALLBACK_STRENGTH} is used")
        return StrengthEstimate(FALLBACK_STRENGTH, None, None, None, 0.0, 0, tuple(warnings))
    ratios = [
        _positive(noise.std) / full_dose_noise(thickness, noise.mean_frequency, water_equivalent_diameter(image, pixel))
        for image, noise in found
    ]
    # Values that cannot be HU, such as a missing-data value of 1e30, give ratios without a finite logarithm.
    excess = float(np.clip(np.nan_to_num(np.median(np.log(ratios))), -LARGEST_EXCESS, LARGEST_EXCESS))
    strength = round(expected_strength(excess), 2)
    std = float(np.median([noise.std for _, noise in found]))
    frequency = float(np.median([noise.mean_frequency for _, noise in found]))
    warnings += _sharp_kernel(frequency, strength)
    return StrengthEstimate(
        strength=strength,
        noise_hu=round(std, 2),
        full_dose_noise_hu=round(_positive(std) / float(np.exp(excess)), 2),
        mean_frequency_per_mm=round(frequency, 3),
        soft_tissue_cm2=round(sum(noise.area for _, noise in found) / 100, 1),
        slices=len(found),
        warnings=tuple(warnings),
    )


def _noise_of(
    images: Sequence[NDArray[np.float32]], pixel_mm: float
) -> list[tuple[NDArray[np.float32], SoftTissueNoise]]:
    """Return the images with enough soft tissue, each with its noise."""
    with ThreadPoolExecutor() as pool:
        measured = pool.map(partial(measure_soft_tissue_noise, pixel_mm=pixel_mm), images)
        return [(image, noise) for image, noise in zip(images, measured, strict=True) if noise]


def _assumptions(pixel_spacing_mm: float | None, slice_thickness_mm: float | None) -> list[str]:
    """Return a warning for each value that is unknown."""
    values = {
        f"pixel spacing is unknown: {ASSUMED_PIXEL_MM} mm": pixel_spacing_mm,
        f"slice thickness is unknown: {ASSUMED_THICKNESS_MM} mm": slice_thickness_mm,
    }
    return [f"{text} assumed for the automatic strength" for text, value in values.items() if not value]


def _sharp_kernel(frequency: float, strength: float) -> list[str]:
    """Return a warning for a sharp kernel at high strength."""
    if frequency < SHARP_PER_MM or strength < SHARP_STRENGTH:
        return []
    return [
        f"sharp kernel (mean noise frequency {frequency:.2f} per mm) at automatic strength {strength:g}: "
        "fine detail may be lost; compare with a lower --strength"
    ]


def _clip(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Limit values to 12 bits: beyond, there is metal, or no HU at all."""
    return np.clip(np.nan_to_num(image), -LARGEST_HU, LARGEST_HU)


def _positive(noise_hu: float) -> float:
    """Return the noise, and 0.001 HU for an image without any, so that it has a logarithm."""
    return max(noise_hu, 1e-3)


def sample_indices(count: int) -> list[int]:
    """Return which of a series' slices are measured: 16, evenly spread, or all if there are fewer."""
    return evenly_spread(count, MAX_SLICES)


def full_dose_noise(thickness_mm: float, mean_frequency_per_mm: float, diameter_mm: float) -> float:
    """Return the noise expected of a full-dose body scan, HU.

    It falls with the root of the slice thickness, rises with the square of the noise's mean frequency, which is what
    filtered back-projection gives, and exponentially with the patient's diameter, as tube current makes up for part of
    the attenuation only (Gies et al. 1999). A fit to 59 patients agrees (``docs/strength.md``).

    Parameters
    ----------
    thickness_mm
        Slice thickness.
    mean_frequency_per_mm
        As :class:`~ctdenoise.noise.soft_tissue.SoftTissueNoise` has it; below 0.1, which no kernel has, 0.1 is taken.
    diameter_mm
        From :func:`water_equivalent_diameter`.
    """
    thickness = (FULL_DOSE_THICKNESS_MM / thickness_mm) ** 0.5
    kernel = (max(mean_frequency_per_mm, 0.1) / FULL_DOSE_PER_MM) ** 2
    patient = np.exp(DIAMETER_EXPONENT * WATER_PER_MM * (diameter_mm - FULL_DOSE_DIAMETER_MM))
    return float(FULL_DOSE_HU * thickness * kernel * patient)


def expected_strength(excess: float) -> float:
    """Return the strength that is best on average for scans with so much noise.

    A scan of dose d has 1 / √d times the noise of full dose, and 1 − d is its best strength: the share of the noise
    variance that the missing dose made. Neither d nor the noise of this scanner and protocol at full dose is known, so
    the best strength is averaged over d, weighted by how probable d is given the noise (Bayes' rule): full-dose noise
    is log-normal about :func:`full_dose_noise`, and scans are full-dose or have a dose from :data:`DOSES`.

    Parameters
    ----------
    excess
        Natural logarithm of the measured noise over the noise expected at full dose.

    Returns
    -------
    float
        0.33 to 0.9, rising with `excess`.
    """
    doses = np.geomspace(*DOSES, 100)
    prior = np.full(len(doses), (1 - FULL_DOSE_SHARE) / len(doses))
    prior[0] += FULL_DOSE_SHARE
    log_likelihood = -0.5 * ((excess + 0.5 * np.log(doses)) / FULL_DOSE_SPREAD) ** 2
    posterior = prior * np.exp(log_likelihood - log_likelihood.max())
    best = np.maximum(FULL_DOSE_STRENGTH, 1 - doses)
    return float((posterior * best).sum() / posterior.sum())


def water_equivalent_diameter(image: NDArray[np.float32], pixel_mm: float) -> float:
    """Return the diameter of the cylinder of water that attenuates as much as a slice, mm (AAPM report 220, eq. 3)."""
    water = float(np.maximum(0.0, 1 + np.nan_to_num(image, nan=-1024.0) / 1000).sum()) * pixel_mm**2
    return float(2 * np.sqrt(water / np.pi))
