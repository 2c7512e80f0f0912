"""The typed result of an evaluation: what ``metrics.json`` contains; docs/evaluation.md describes its fields."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ctdenoise.evaluation.physics_document import Physics
from ctdenoise.evaluation.record import Measured, Record

#: Changes when a field changes its meaning or is removed.
SCHEMA: Literal["ctdenoise-metrics/1"] = "ctdenoise-metrics/1"


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
    software: dict[str, str] = Field(default_factory=dict)
