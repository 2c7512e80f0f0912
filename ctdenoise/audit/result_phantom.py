"""The virtual phantom of a result of ctdenoise, whose manifest says how lesions have to be denoised."""

from __future__ import annotations

from collections.abc import Callable

from ctdenoise.audit.bench import AtStrength, make_bench
from ctdenoise.audit.document import Phantom
from ctdenoise.audit.phantom import measure_phantom
from ctdenoise.audit.series_audit import ASSUMED_PIXEL_MM, SOURCE
from ctdenoise.audit.windows import WindowReader
from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import AlignedStacks
from ctdenoise.evaluation.physics import noise_regions
from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.manifest import Manifest
from ctdenoise.noise.measure import evenly_spread

#: Slices among which those with the most uniform tissue are chosen.
_SAMPLED = 8


def result_phantom(
    aligned: AlignedStacks, manifest: Manifest | None, *, advance: Callable[[], None] | None = None
) -> Phantom:
    """Measure the virtual phantom with the model and the strength of a result.

    Parameters
    ----------
    aligned
        Stacks of which one is named ``source``.
    manifest
        Of the result; None where it has none.
    advance
        Called after each step.

    Raises
    ------
    InputError
        If the result is not of a model that ships, or the source has too little uniform soft tissue.
    """
    denoise = _denoise(manifest, aligned)
    indices = evenly_spread(len(aligned), _SAMPLED)
    read = WindowReader(aligned, denoise.denoiser.context)
    sample = [read(index)[SOURCE] for index in indices]
    pixel_mm = aligned.base.pixel_spacing_mm or ASSUMED_PIXEL_MM
    # In slices whose noise the model does not see.
    regions = noise_regions(aligned, indices, distance=denoise.denoiser.context + 1)
    bench = make_bench(sample, pixel_mm, denoise, regions)
    name = str(denoise.denoiser.description.name) if denoise.denoiser.description else "custom"
    return measure_phantom(bench, model=name, strength=denoise.strength, advance=advance)


def _denoise(manifest: Manifest | None, aligned: AlignedStacks) -> AtStrength:
    path = list(aligned.stacks.values())[-1].path
    parameters = manifest.operation.parameters if manifest else {}
    model, strength = parameters.get("model"), parameters.get("strength")
    if not model or not strength:
        raise InputError(
            "expected a result of ctdenoise run with its manifest, found none; lesions have to be denoised as it was",
            path=path,
            hint="leave --phantom out",
        )
    denoiser = Denoiser.from_pretrained(model["name"], engine="eager", full_field=parameters.get("full_field", False))
    if denoiser.description is None or denoiser.description.sha256 != model["sha256"]:
        raise InputError(f"expected the model {model['name']} that the result was made with, found another", path=path)
    return AtStrength(denoiser, float(strength))
