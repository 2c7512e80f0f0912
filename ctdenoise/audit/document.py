"""The typed result of an audit: what ``audit.json`` contains; docs/audit.md describes its fields."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ctdenoise.evaluation.record import Record

#: Changes when a field changes its meaning or is removed.
SCHEMA: Literal["ctdenoise-audit/1"] = "ctdenoise-audit/1"

Verdict = Literal["pass", "caution", "fail"]


class Reason(Record):
    """Why an audit does not pass."""

    severity: Literal["caution", "fail"]
    kind: str = Field(
        description="structure_removed, structure_added, blurred, sharpened, hu_shift, seam, slice_order, "
        "too_much_removed, outside_body or not_measurable."
    )
    text: str = Field(description="One sentence for the reader.")
    slices: list[str] = Field(default_factory=list, description="Labels of the slices, the worst first; at most 8.")


class Spot(Record):
    """The place of a slice where most structure was removed or added."""

    z: float = Field(description="The difference in units of what was usually changed in the slice.")
    p: float = Field(description="Probability of such a z anywhere in the slice if noise alone was changed.")
    row: int
    column: int
    diameter_mm: float = Field(description="Diameter of the disc that the band answers most to.")
    hu: float = Field(description="Difference in HU in this band, derived minus source.")


class EdgeChange(Record):
    """What became of the contrast of fine structures of one kind."""

    change: float = Field(description="Share of the contrast that was removed; below 0, added.")
    standard_error: float = Field(description="Of the change, if noise alone was changed.")
    area_mm2: float


class TissueIndex(Record):
    """Whether what was changed follows the anatomy of a tissue."""

    index: float = Field(description="Pearson's correlation of what was removed with the anatomy.")
    z: float = Field(description="The index in standard deviations of its distribution in simulated noise.")
    p: float = Field(description="Two-sided probability of such an index if noise alone was removed.")


class TissueBias(Record):
    """Change of the mean HU of a tissue."""

    hu: float = Field(description="Mean of derived minus source.")
    standard_error: float
    pixels: int


class Seam(Record):
    """The row or column along which the difference changes most abruptly."""

    z: float = Field(description="In units of what is usual along rows and columns of the slice.")
    hu: float
    line: str = Field(description="``row N`` or ``column N``, from 0.")


class SliceAudit(Record):
    """Measurements in one slice."""

    label: str
    removed: Spot = Field(description="Where the source has most that the derived image has not.")
    added: Spot = Field(description="Where the derived image has most that the source has not.")
    edges: dict[str, EdgeChange] = Field(description="By kind: bright or dark structures, in lung or elsewhere.")
    index: dict[str, TissueIndex] = Field(description="Structured-residual index by tissue.")
    bias: dict[str, TissueBias] = Field(description="By tissue.")
    seam: Seam | None
    removed_share: float = Field(description="Standard deviation of what was changed over that of the noise.")
    noise_hu: float = Field(description="Median of the local noise in the body.")
    belongs_to: int = Field(description="0; −1 or 1 where the derived slice resembles the neighbour's source more.")


class NoiseInfo(Record):
    """The noise of the source that everything is judged against, and what is left of it."""

    std_hu: float = Field(description="Standard deviation in uniform soft tissue of the source.")
    derived_std_hu: float | None = Field(
        default=None, description="The same in the derived series; null where there are too few uniform regions."
    )
    mean_frequency_per_mm: float
    spectrum_measured: bool = Field(description="False where there are too few uniform regions.")


class Interval(Record):
    """A number with its 95 % interval: a bootstrap over slices, at least as wide as standard errors make it."""

    value: float
    low: float
    high: float


class Summary(Record):
    """Numbers over all slices."""

    removed_share: Interval | None
    edges: dict[str, Interval]
    index: dict[str, Interval]
    bias: dict[str, Interval]


class PhantomTask(Record):
    """Lesions of one size and contrast, inserted into the source and denoised with it."""

    diameter_mm: float
    contrast_hu: float
    lesions: dict[str, int] = Field(description="Number at uniform and at structured places.")
    contrast_recovery: dict[str, Interval] = Field(
        description="By kind of place: share of the lesion that is left, by projection on the lesion."
    )
    ttf50_per_mm: float | None = Field(
        description="Resolution of the scan times what denoising leaves of it; with lesions of 10 mm only."
    )
    npw_source: Interval = Field(description="d' of the non-prewhitening observer.")
    npw_derived: Interval
    cho_source: Interval = Field(description="d' of the channelised Hotelling observer with internal noise.")
    cho_derived: Interval


class DoseStatement(Record):
    """At which dose the denoised series shows a lesion as well as the source does."""

    diameter_mm: float
    contrast_hu: float
    doses: list[float] = Field(description="Doses that were simulated, relative to the source's.")
    npw_derived: list[float] = Field(description="d' of the denoised series at these doses.")
    npw_source: float = Field(description="d' of the source.")
    dose: Interval | None = Field(description="Dose of equal d'; None where it is beyond the simulated ones.")
    sentence: str


class Phantom(Record):
    """A virtual phantom in the scan itself."""

    slices: int
    model: str
    strength: float
    ttf: Literal["skin", "assumed"] = Field(description="Where the resolution that blurs lesions was measured.")
    tasks: list[PhantomTask]
    dose: DoseStatement


class Recommendation(Record):
    """The highest strength at which the audit passes."""

    strength: float = Field(description="A strength, or a share of what the tool changed.")
    of: Literal["strength", "share"] = Field(
        description="share where the strength that the derived series was made with is unknown."
    )
    slices: int = Field(description="Slices it was tried on: evenly spread ones and those with the largest changes.")
    sentence: str


class Audit(Record):
    """What was changed in a series, and whether it can be trusted."""

    schema_: Literal["ctdenoise-audit/1"] = Field(default=SCHEMA, alias="schema")
    version: str
    verdict: Verdict
    reasons: list[Reason]
    sentence: str = Field(description="The verdict in one sentence.")
    paragraph: str = Field(description="Methods and results, for a paper.")
    pixel_mm: float
    pixel_mm_assumed: bool
    slices_in_series: int
    unmatched: int = Field(description="Slices of the source without a derived one.")
    recommendation: Recommendation | None
    phantom: Phantom | None = Field(description="With --phantom only.")
    noise: NoiseInfo
    summary: Summary
    slices: list[SliceAudit]
