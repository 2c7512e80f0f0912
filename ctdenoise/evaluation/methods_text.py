"""A paragraph about the methods of an evaluation, to be pasted into a publication, and its references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ctdenoise.evaluation.document import Evaluation, ImageInfo, Scan, Simulation
from ctdenoise.evaluation.physics_document import Physics
from ctdenoise.evaluation.protocols import ProtocolName
from ctdenoise.evaluation.references import Citations
from ctdenoise.evaluation.resampling import FEWEST_SLICES, RESAMPLES
from ctdenoise.evaluation.statistics import MEAN_RESAMPLES

#: Metrics that have a reference of their own.
_CITED_METRICS = ("ssim", "vif", "gmsd", "lpips")
#: Whose protocols are followed, and their references.
_PROTOCOLS: Mapping[str, tuple[str, str]] = {
    ProtocolName.REDCNN: ("the PyTorch implementation of RED-CNN", "redcnn"),
    ProtocolName.LDCT_BENCHMARK: ("the low-dose CT benchmark", "ldct-benchmark"),
    ProtocolName.PAPER: ("the code of Transfer CLIP", "clip"),
}
#: Doses that have names.
_FRACTIONS = {"0.1": "a tenth", "0.2": "a fifth", "0.25": "a quarter", "0.5": "half", "0.75": "three quarters"}


def methods(evaluation: Evaluation) -> tuple[str, list[str]]:
    """Return the paragraph and the references that it cites."""
    cite = Citations()
    sentences = [*_images(evaluation, cite)]
    if evaluation.physics:
        sentences += _physics(evaluation.physics, cite)
    sentences += _controls(evaluation, cite)
    if evaluation.fidelity:
        sentences += _fidelity(evaluation, cite)
    return " ".join(sentences), cite.texts(evaluation.version)


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


def _images(evaluation: Evaluation, cite: Citations) -> Iterator[str]:
    count = len(evaluation.slices)
    scans = list(dict.fromkeys(scan_text(image.scan) for image in evaluation.images.values() if image.scan))
    described = f" ({'; '.join(filter(None, scans))})" if any(scans) else ""
    yield (
        f"{count} {'slice was' if count == 1 else 'slices were'} evaluated{described} "
        f"with ctdenoise {evaluation.version} {cite('ctdenoise')}."
    )
    for name, image in evaluation.images.items():
        if image.origin:
            yield f"“{name}” {_origin(image, cite)}"


def _origin(image: ImageInfo, cite: Citations) -> str:
    origin = image.origin
    assert origin
    text = f"was made by ctdenoise {origin.software.get('ctdenoise', '')}, {origin.name} {origin.version}".rstrip()
    # Whatever has a strength is denoising, by the method of the paper.
    text += f" {cite('clip')}" if origin.strength is not None else ""
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


def _physics(physics: Physics, cite: Citations) -> Iterator[str]:
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
    yield (
        f"Intervals of these are percentile bootstrap 95 % intervals ({RESAMPLES} resamples of {units}) "
        f"{cite('bootstrap')}."
    )


def _controls(evaluation: Evaluation, cite: Citations) -> Iterator[str]:
    controls = [image.description for image in evaluation.images.values() if image.kind == "control"]
    if controls:
        yield (
            "As controls, the unprocessed images and simple filters of them were measured alike, each filter with the "
            f"parameter that leaves as much noise as the denoised image has: {'; '.join(controls)} {cite('buades')}."
        )


def _fidelity(evaluation: Evaluation, cite: Citations) -> Iterator[str]:
    windows = dict.fromkeys((entry.window, entry.how) for entry in evaluation.fidelity)
    ranges = "; ".join(f"{window}: {how}" for window, how in windows)
    metrics = dict.fromkeys(entry.metric for entry in evaluation.fidelity)
    named = ", ".join(f"{one.upper()} {cite(one)}" if one in _CITED_METRICS else one.upper() for one in metrics)
    yield (
        f"{named} against the reference were computed slice by slice ({ranges}; pixels: "
        f"{'all' if evaluation.mask == 'none' else evaluation.mask}) and averaged."
    )
    if evaluation.protocol in _PROTOCOLS:
        whose, key = _PROTOCOLS[evaluation.protocol]
        yield f"The protocol is “{evaluation.protocol}”, that of {whose} {cite(key)}."
    unit = "slices" if evaluation.physics else "images"
    yield (
        f"Intervals of means are percentile bootstrap 95 % intervals ({MEAN_RESAMPLES:,} resamples of {unit}) "
        f"{cite('bootstrap')}."
    )
    if evaluation.comparisons:
        yield (
            f"Images were compared in pairs by Wilcoxon's signed-rank test over {unit} {cite('wilcoxon')}, two-sided "
            "and not corrected for the number of tests."
        )
