"""The typed result of an evaluation: what ``metrics.json`` contains; docs/evaluation.md describes its fields."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

#: Changes when a field changes its meaning or is removed.
SCHEMA: Literal["ctdenoise-metrics/1"] = "ctdenoise-metrics/1"


def _finite_or_none(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


#: A measured value; None where it is infinite, undefined or not measured, none of which JSON has a number for.
Measured = Annotated[float | None, BeforeValidator(_finite_or_none)]


#: A bootstrap 95 % interval; None where too little was measured for one.
Interval = tuple[Measured, Measured] | None


class Record(BaseModel):
    """An immutable part of a document that is written as JSON and read from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """Return the document of JSON types, keys as in the file."""
        return self.model_dump(mode="json", by_alias=True)


class Scan(Record):
    """Parameters of a scan; empty or None where they are unknown, or where a text may be more than a technical term.

    Attributes
    ----------
    manufacturer, model, kernel
        Of the scanner and the reconstruction.
    kvp, mas
        Tube voltage; the lowest and the highest exposure of a slice, mAs.
    thickness_mm, pixel_mm, field_mm
        Slice thickness, pixel spacing, diameter of the reconstruction (DFOV).
    simulated_dose
        Of the image, relative to that of the scan, which `mas` is of; None where no lower dose was simulated.
    """

    manufacturer: str
    model: str
    kernel: str
    kvp: Measured
    mas: tuple[float, float] | None
    thickness_mm: Measured
    pixel_mm: Measured
    field_mm: Measured
    simulated_dose: Measured = None


class Simulation(Record):
    """The parameters of a simulated lower dose, by its manifest.

    Attributes
    ----------
    dose
        Relative to the source's.
    photons, photons_measured
        Incident photons per ray of the source's scan, and whether they are those that make its measured noise.
    seed
        Of the noise.
    """

    dose: float
    photons: float
    photons_measured: bool
    seed: int


class Origin(Record):
    """The operation that made an image, by its manifest.

    Attributes
    ----------
    name, version, sha256
        Of the model.
    strength, strength_from
        Strength, and how it was found.
    engine, command, date, software
        Engine; command with placeholders for paths; day; versions of the software.
    simulation
        Of a simulated lower dose.
    """

    name: str
    version: str
    sha256: str
    strength: Measured
    strength_from: str
    engine: str
    command: str
    date: str
    software: dict[str, str]
    simulation: Simulation | None = None


class ImageInfo(Record):
    """One of the evaluated images.

    Attributes
    ----------
    kind, slices
        ``dicom``, ``volume``, ``array``, ``image`` or ``control``, and its number of slices.
    description
        Of a control: the filter.
    series
        Pseudonymous identifier: the beginning of the SHA-256 of the Series Instance UID, or of the file of a volume.
    scan, origin
        Where they are known.
    """

    kind: str
    slices: int
    description: str = ""
    series: str = ""
    scan: Scan | None = None
    origin: Origin | None = None


class Fidelity(Record):
    """A metric of one image against the reference in one window.

    Attributes
    ----------
    image, window, low, high
        Name of the image; name and ends of the window.
    how
        Clipping, data range and definition of SSIM in words.
    metric, unit
        Name in :data:`~ctdenoise.evaluation.metrics.METRICS`, and ``"HU"``, ``"dB"`` or ``""``.
    slices
        Number of slices that were measured.
    mean, sd, ci95
        Over these slices: mean, sample standard deviation, bootstrap 95 % interval of the mean.
    values
        For each evaluated slice.
    """

    image: str
    window: str
    low: int | float  # as in the definition of the window, not 240.0 for 240
    high: int | float
    how: str
    metric: str
    unit: str
    slices: int
    mean: Measured
    sd: Measured
    ci95: tuple[Measured, Measured] | None
    values: tuple[Measured, ...]


class Comparison(Record):
    """Wilcoxon's signed-rank test of a metric between images `a` and `b`; the median difference is b − a."""

    a: str
    b: str
    window: str
    metric: str
    slices: int
    median_difference: Measured
    p: Measured


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


class Evaluation(Record):
    """The whole evaluation.

    Attributes
    ----------
    schema_version
        :data:`SCHEMA`; ``schema`` in JSON.
    version
        Of ctdenoise.
    protocol, mask
        Name of the protocol, and the pixels that metrics were computed over.
    images, slices
        The images by name, and a label for each evaluated slice.
    warnings
        What limits the results, in words.
    fidelity, comparisons, physics
        Metrics against the reference, tests between images, and CT physics, which photographs do not have.
    command, date, software
        Command of the evaluation with placeholders for paths; day; versions of the software.
    """

    schema_version: Literal["ctdenoise-metrics/1"] = Field(default=SCHEMA, alias="schema")
    version: str
    protocol: str
    mask: str
    images: dict[str, ImageInfo]
    slices: tuple[str, ...]
    warnings: tuple[str, ...]
    fidelity: tuple[Fidelity, ...]
    comparisons: tuple[Comparison, ...]
    physics: Physics | None
    command: str = ""
    date: str = ""
    software: dict[str, str] = {}
