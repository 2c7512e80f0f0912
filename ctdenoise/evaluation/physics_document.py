"""The typed result of measurements of CT physics, a part of an evaluation."""

from __future__ import annotations

from typing import Literal

from ctdenoise.evaluation.record import Interval, Measured, Record


class Insert(Record):
    """A circular insert of a phantom: row and column of its centre in pixels, radius in mm."""

    row: float
    column: float
    radius_mm: float


class Task(Record):
    """The disc that d′ is computed for."""

    diameter_mm: float
    contrast_hu: float


class TissueStatistics(Record):
    """HU of a tissue; the bias is the mean less that of the image in which tissues were segmented."""

    pixels: int
    mean_hu: Measured
    sd_hu: Measured
    bias_hu: Measured
    bias_ci95: Interval = None


class NoiseSpectrum(Record):
    """Noise in uniform regions.

    Attributes
    ----------
    std_hu
        Standard deviation.
    peak_frequency, mean_frequency
        Of the radial noise power spectrum, cycles per mm (per pixel where the pixel spacing is unknown).
    frequency, nps
        The radial spectrum, HU² mm².
    nps_2d
        ``[32, 32]``, HU² mm², zero frequency in the centre.
    std_ci95, peak_ci95, mean_ci95
        Intervals of the first three.
    """

    std_hu: Measured
    peak_frequency: Measured
    mean_frequency: Measured
    frequency: tuple[float, ...]
    nps: tuple[Measured, ...]
    nps_2d: tuple[tuple[Measured, ...], ...]
    std_ci95: Interval = None
    peak_ci95: Interval = None
    mean_ci95: Interval = None


class TransferFunction(Record):
    """Task transfer function at inserts or at the skin, and where it falls to 50 and 10 %; cycles per mm (or pixel)."""

    at: Literal["inserts", "skin"]
    frequency: tuple[float, ...]
    ttf: tuple[Measured, ...]
    ttf50: Measured
    ttf10: Measured = None
    ttf50_ci95: Interval = None
    ttf10_ci95: Interval = None


class InsertContrast(Record):
    """Contrast of an insert to the ring around it, and its ratio to the noise in that ring."""

    contrast_hu: Measured
    cnr: Measured
    contrast_ci95: Interval = None
    cnr_ci95: Interval = None


class RemovedNoise(Record):
    """The difference between the noisy and a denoised image.

    Attributes
    ----------
    std
        Standard deviation inside the body, HU.
    edges
        Pearson's correlation of its magnitude with the gradient magnitude of the anatomy, in soft tissue. About 0 if
        only noise was removed; above 0 where edges were removed, below 0 where noise was left at edges.
    structure
        Pearson's correlation with the anatomy less its local mean. About 0 if only noise was removed; above 0 where
        contrast was lost.
    noise
        Its spectrum, or None where there are too few uniform regions.
    """

    std: Measured
    edges: Measured
    structure: Measured
    noise: NoiseSpectrum | None = None


class ImagePhysics(Record):
    """What CT physics says about one image; None where it could not be measured."""

    tissues: dict[str, TissueStatistics]
    noise: NoiseSpectrum | None
    d_prime: Measured
    ttf: TransferFunction | None
    cnr_soft_tissue_fat: Measured
    inserts: tuple[InsertContrast, ...]
    d_prime_ci95: Interval = None
    cnr_ci95: Interval = None


class Physics(Record):
    """Measurements of CT physics.

    Attributes
    ----------
    slices, regions, arcs
        Number of slices, of uniform regions, and of pieces of skin that were measured in.
    measured_where, regions_found_in
        Name of the image in which skin and tissues were found; of the one in whose neighbouring slices uniform regions
        were found.
    pixel_mm, frequency_unit
        Pixel spacing, or None where it is unknown; ``"1/mm"``, or then ``"1/pixel"``.
    task, inserts
        What d′ is for; where TTF and contrast were measured.
    images, residual
        For each image; for each denoised image, what was removed from the noisy one.
    noise_regions
        Of each uniform region: index in the evaluated slices, first row and column.
    """

    slices: int
    regions: int
    arcs: int
    measured_where: str
    regions_found_in: str
    pixel_mm: float | None
    frequency_unit: str
    task: Task
    inserts: tuple[Insert, ...]
    images: dict[str, ImagePhysics]
    residual: dict[str, RemovedNoise]
    noise_regions: tuple[tuple[int, int, int], ...] = ()
