"""Evaluation of images: metrics against a reference, tests between images, CT physics, as one document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version

from ctdenoise.evaluation.checks import matching_warnings, physics_warnings
from ctdenoise.evaluation.controls import CONTROL
from ctdenoise.evaluation.document import Evaluation, Fidelity
from ctdenoise.evaluation.fidelity import measure_fidelity
from ctdenoise.evaluation.origin import image_info
from ctdenoise.evaluation.pairing import NOISY, REFERENCE, AlignedStacks
from ctdenoise.evaluation.physics import measure_physics
from ctdenoise.evaluation.physics_document import Insert
from ctdenoise.evaluation.protocols import DEFAULT_PROTOCOL, Mask, Measurement
from ctdenoise.evaluation.statistics import compare_images
from ctdenoise.inference.manifest import software_versions
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.version import __version__

__all__ = ["NOISY", "REFERENCE", "Insert", "evaluate"]

#: Most slices that slow metrics are computed for without a protocol.
MOST_SLOW_SLICES = 32
#: Packages that compute measurements, beside those that compute results.
_PACKAGES = ("scipy", "scikit-image", "torchmetrics", "piq")


def evaluate(
    aligned: AlignedStacks,
    measurements: Sequence[Measurement],
    *,
    protocol: str,
    mask: Mask = Mask.NONE,
    inserts: Sequence[Insert] = (),
    command: str = "",
    advance: Callable[[], None] | None = None,
) -> Evaluation:
    """Measure images against their reference, if there is one, and their CT physics.

    Parameters
    ----------
    aligned
        Stacks named ``"reference"`` and ``"noisy"``, both optional, and the images to evaluate by any other name.
    measurements
        Windows and metrics to compute against the reference.
    protocol
        Name of `measurements` in the document.
    mask
        Pixels that metrics are computed over.
    inserts
        Where TTF, contrast and CNR are measured; without any, TTF is measured at the skin.
    command
        The command of the evaluation, with placeholders for paths.
    advance
        Called after each slice.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    fidelity: list[Fidelity] = []
    if REFERENCE in aligned.stacks and len(aligned.stacks) > 1:
        # A publication's protocol is followed exactly.
        most = MOST_SLOW_SLICES if protocol == DEFAULT_PROTOCOL else len(aligned)
        slow_slices = evenly_spread(len(aligned), most)
        fidelity = measure_fidelity(aligned, measurements, mask=mask, slow_slices=slow_slices, advance=advance)
    physics = None if aligned.base.is_photograph else measure_physics(aligned, inserts)
    images = {name: image_info(stack) for name, stack in aligned.stacks.items()}
    controls = [name for name, image in images.items() if image.kind == CONTROL]
    return Evaluation(
        version=__version__,
        protocol=protocol,
        mask=mask.value,
        images=images,
        slices=tuple(aligned.label(index) for index in range(len(aligned))),
        warnings=(*matching_warnings(aligned), *(physics_warnings(physics, controls) if physics else ())),
        fidelity=tuple(fidelity),
        comparisons=tuple(compare_images(fidelity)),
        physics=physics,
        command=command,
        date=date.today().isoformat(),
        software={**software_versions(), **{name: version(name) for name in _PACKAGES}},
    )
