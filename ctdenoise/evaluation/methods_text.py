"""A paragraph about the methods of an evaluation, to be pasted into a publication, and its references."""

from __future__ import annotations

from collections.abc import Iterator

from ctdenoise.evaluation.document import Evaluation, ImageInfo, Physics, Scan, Simulation
from ctdenoise.evaluation.resampling import FEWEST_SLICES, RESAMPLES

#: References, in the order in which the paragraph may need them.
_REFERENCES = {
    "tg233": "Samei E, Bakalyar D, Boedeker KL, et al. Performance evaluation of computed tomography systems: "
    "summary of AAPM Task Group 233. Med Phys 2019;46(11):e735–e756.",
    "icru87": "ICRU Report 87: Radiation dose and image-quality assessment in computed tomography. J ICRU 2012;12(1).",
    "richard": "Richard S, Husarik DB, Yadava G, Murphy SN, Samei E. Towards task-based assessment of CT performance: "
    "system and object MTF across different reconstruction algorithms. Med Phys 2012;39(7):4115–4122.",
    "sanders": "Sanders J, Hurwitz L, Samei E. Patient-specific quantification of image quality: an automated "
    "method for measuring spatial resolution in clinical CT images. Med Phys 2016;43(10):5330–5338.",
    "buades": "Buades A, Coll B, Morel JM. A non-local algorithm for image denoising. CVPR 2005:60–65.",
    "ssim": "Wang Z, Bovik AC, Sheikh HR, Simoncelli EP. Image quality assessment: from error visibility to structural "
    "similarity. IEEE Trans Image Process 2004;13(4):600–612.",
    "bootstrap": "Efron B, Tibshirani RJ. An introduction to the bootstrap. Chapman & Hall 1993.",
}


#: Doses that have names.
_FRACTIONS = {"0.1": "a tenth", "0.2": "a fifth", "0.25": "a quarter", "0.5": "half", "0.75": "three quarters"}


class _Citations:
    """Numbers references in the order of their first use."""

    def __init__(self) -> None:
        self.used: list[str] = []

    def __call__(self, *keys: str) -> str:
        self.used += [key for key in keys if key not in self.used]
        return "[" + ", ".join(str(self.used.index(key) + 1) for key in keys) + "]"


def methods(evaluation: Evaluation) -> tuple[str, list[str]]:
    """Return the paragraph and the references that it cites."""
    cite = _Citations()
    sentences = [*_images(evaluation)]
    if evaluation.physics:
        sentences += _physics(evaluation.physics, cite)
    sentences += _controls(evaluation, cite)
    if evaluation.fidelity:
        sentences += _fidelity(evaluation, cite)
    return " ".join(sentences), [_REFERENCES[key] for key in cite.used]


def scan_text(scan: Scan) -> str:
    """Return the parameters of a scan that are known, in words."""
    parts = [" ".join(filter(None, (scan.manufacturer, scan.model)))]
    parts += [f"kernel {scan.kernel}"] if scan.kernel else []
    parts += [f"{scan.kvp:g} kVp"] if scan.kvp else []
    if scan.mas:
        low, high = scan.mas
        mas = f"{low:g} mAs" if low == high else f"{low:g} to {high:g} mAs"
        dose = scan.simulated_dose
        parts.append(f"{mas} of the source, {dose:.3g} of whose dose was simulated" if dose else mas)
    parts += [f"slice thickness {scan.thickness_mm:g} mm"] if scan.thickness_mm else []
    parts += [f"pixel spacing {scan.pixel_mm:.3f} mm"] if scan.pixel_mm else []
    parts += [f"reconstruction diameter (DFOV) {scan.field_mm:g} mm"] if scan.field_mm else []
    return ", ".join(filter(None, parts))


def _images(evaluation: Evaluation) -> Iterator[str]:
    count = len(evaluation.slices)
    scans = list(dict.fromkeys(scan_text(image.scan) for image in evaluation.images.values() if image.scan))
    described = f" ({'; '.join(filter(None, scans))})" if any(scans) else ""
    yield f"{count} {'slice was' if count == 1 else 'slices were'} evaluated{described}."
    for name, image in evaluation.images.items():
        if image.origin:
            yield f"“{name}” {_origin(image)}"


def _origin(image: ImageInfo) -> str:
    origin = image.origin
    assert origin
    text = f"was made by ctdenoise {origin.software.get('ctdenoise', '')}, {origin.name} {origin.version}".rstrip()
    text += f" (SHA-256 of the weights {origin.sha256})" if origin.sha256 else ""
    text += f", at strength {origin.strength:g}" if origin.strength is not None else ""
    text += f", {origin.strength_from}" if origin.strength_from else ""
    return f"{text}: {simulation_text(origin.simulation)}." if origin.simulation else f"{text}."


def simulation_text(simulation: Simulation) -> str:
    """Return what was simulated, in words."""
    dose = f"{simulation.dose:.3g}"
    dose = f"{_FRACTIONS[dose]} ({dose})" if dose in _FRACTIONS else dose
    photons = f"{simulation.photons:.3g}".replace("e+0", "e").replace("e+", "e")
    measured = " (those that make its measured noise)" if simulation.photons_measured else ""
    return (
        f"{dose} of the dose of its source was simulated by noise inserted in the projections, {photons} photons per "
        f"ray of the source's scan{measured}, seed {simulation.seed}"
    )


def _physics(physics: Physics, cite: _Citations) -> Iterator[str]:
    if physics.regions and any(image.noise for image in physics.images.values()):
        yield (
            f"Noise standard deviation and noise power spectrum (NPS) were measured in {physics.regions} regions of "
            f"32 × 32 pixels of soft tissue in {physics.slices} evenly spread slices after subtraction of a "
            f"second-order polynomial {cite('tg233', 'icru87')}; the regions were found in the neighbouring "
            "slices, by structure relative to local noise, so that the choice did not prefer low noise."
        )
    if physics.inserts:
        yield f"The task transfer function (TTF) was measured at inserts by the circular-edge method {cite('richard')}."
    elif physics.arcs:
        yield (
            f"The task transfer function (TTF) was measured at {physics.arcs} pieces of the patient's skin "
            f"{cite('sanders')}; it serves to compare images of one patient."
        )
    if any(image.d_prime for image in physics.images.values()):
        yield (
            f"d′ is that of a non-prewhitening observer for a disc of {physics.task.diameter_mm:g} mm diameter and "
            f"{physics.task.contrast_hu:g} HU contrast {cite('tg233')}."
        )
    units = "slices" if physics.slices >= FEWEST_SLICES else "regions and pieces of skin"
    yield f"Intervals are percentile bootstrap 95 % intervals ({RESAMPLES} resamples of {units}) {cite('bootstrap')}."


def _controls(evaluation: Evaluation, cite: _Citations) -> Iterator[str]:
    controls = [image.description for image in evaluation.images.values() if image.kind == "control"]
    if controls:
        yield (
            "As controls, the unprocessed images and simple filters of them were measured alike, each filter with the "
            f"parameter that leaves as much noise as the denoised image has: {'; '.join(controls)} {cite('buades')}."
        )


def _fidelity(evaluation: Evaluation, cite: _Citations) -> Iterator[str]:
    windows = dict.fromkeys((entry.window, entry.how) for entry in evaluation.fidelity)
    ranges = "; ".join(f"{window}: {how}" for window, how in windows)
    ssim = f" {cite('ssim')}" if any(entry.metric == "ssim" for entry in evaluation.fidelity) else ""
    yield (
        f"Metrics against the reference were computed slice by slice{ssim} ({ranges}; pixels: "
        f"{'all' if evaluation.mask == 'none' else evaluation.mask}) and averaged."
    )
