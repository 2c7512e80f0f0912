"""Warnings about what limits the results of an evaluation."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ctdenoise.evaluation.pairing import NOISY, REFERENCE, AlignedStacks
from ctdenoise.evaluation.physics_document import Physics
from ctdenoise.noise.measure import MIN_REGIONS

#: Largest bias of a tissue, HU, and correlations of what was removed with anatomy, that need no warning.
_BIAS_HU, _STRUCTURE, _EDGES = 2.0, 0.2, 0.5
#: Noise relative to the reference's below which the reference limits PSNR.
_NOISE_RATIO = 0.5


def matching_warnings(aligned: AlignedStacks) -> Iterator[str]:
    """Yield how many slices are not evaluated because an image lacks them."""
    if aligned.unmatched:
        yield (
            f"{aligned.unmatched} slices have no counterpart in every image and are not evaluated; "
            f"{len(aligned)} are evaluated"
        )


def physics_warnings(physics: Physics, controls: Collection[str] = ()) -> Iterator[str]:
    """Yield what could not be measured, biased tissues, a noisy reference, and anatomy in what was removed.

    Parameters
    ----------
    physics
        Of all images.
    controls
        Names of images that nobody needs to be warned of.
    """
    yield from _missing(physics)
    for name in (name for name in physics.images if name not in controls):
        yield from _biases(physics, name)
        yield from _noisy_reference(physics, name)
    for name, removed in physics.residual.items():
        if name in controls:
            continue
        structure, edges = removed.structure or 0.0, removed.edges or 0.0
        if structure > _STRUCTURE or edges > _EDGES:
            yield (
                f"{name}: what was removed correlates with anatomy (with structure {structure:.2f}, "
                f"with edges {edges:.2f})"
            )


def _missing(physics: Physics) -> Iterator[str]:
    if physics.regions < MIN_REGIONS:
        yield (
            f"only {physics.regions} uniform regions of soft tissue were found, {MIN_REGIONS} are needed: "
            "noise, NPS, CNR and d′ are not measured"
        )
    if not physics.inserts and not physics.arcs:
        yield "no smooth piece of skin was found: TTF is not measured; give the inserts of a phantom by --insert"
    if physics.pixel_mm is None:
        yield "the pixel spacing is unknown: frequencies are per pixel, and d′ is not measured"


def _biases(physics: Physics, name: str) -> Iterator[str]:
    if name in (physics.measured_where, NOISY):
        return
    for tissue, row in physics.images[name].tissues.items():
        if row.bias_hu is not None and abs(row.bias_hu) > _BIAS_HU:
            yield f"{name}: mean HU of {tissue} differs by {row.bias_hu:+.1f} HU from {physics.measured_where}"


def _noisy_reference(physics: Physics, name: str) -> Iterator[str]:
    reference, image = physics.images.get(REFERENCE), physics.images[name]
    if name in (REFERENCE, NOISY) or not reference or not reference.noise or not image.noise:
        return
    ours, theirs = image.noise.std_hu or 0.0, reference.noise.std_hu or 0.0
    if ours / max(theirs, 1e-6) < _NOISE_RATIO:
        yield (
            f"{name} is less noisy than the reference ({ours:.1f} against {theirs:.1f} HU): the noise of the reference "
            "limits its PSNR"
        )
