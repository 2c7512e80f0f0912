"""What the runners do to images: denoise them, or whatever else takes HU to HU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctdenoise.inference.manifest import model_entry
from ctdenoise.inference.strength import automatic_strength

if TYPE_CHECKING:
    from ctdenoise.inference.denoiser import Denoiser


@dataclass(frozen=True)
class Place:
    """Which image one is.

    Attributes
    ----------
    name
        Unlike any other's: SOPInstanceUID and frame, or the index in a volume.
    pixel_mm
        Pixel spacing along a column; None where it is not known.
    thickness_mm
        Of the slice; None where it is not known.
    tube_current_ma
        It was scanned with; None where it is not known.
    """

    name: str
    pixel_mm: float | None
    thickness_mm: float | None
    tube_current_ma: float | None = None


@dataclass(frozen=True, kw_only=True)
class Process:
    """HU to HU, and the words for it.

    Attributes
    ----------
    name
        Of the model or method.
    identity
        All that the result depends on besides the source.
    done
        For people, as in "denoised".
    summary
        One sentence for people.
    series_offset
        Added to the source's SeriesNumber, so that source and derived sort apart and still belong together.
    entry
        What the manifest says of it; equal for equal results.
    device
        Where.
    batch_size
        Tells how many images are processed at once.
    ran
        Tells what the manifest says of how it was run.
    apply
        Takes ``[B, H, W]`` HU, and which images they are, to the same shape.
    """

    name: str
    identity: str
    done: str
    summary: str
    series_offset: int
    entry: dict[str, Any]
    device: str
    batch_size: Callable[[], int]
    ran: Callable[[], dict[str, Any]]
    apply: Callable[[NDArray[np.float32], Sequence[Place]], NDArray[np.float32]]


#: Some images of a series, ``[H, W]`` HU each, and which they are.
Sample = tuple[list[NDArray[np.float32]], list[Place]]
#: Makes the process for a series of so many images, of which some can be read if need be.
ProcessFor = Callable[[Callable[[], Sample], int], Process]


def denoising(denoiser: Denoiser, strength: float | None) -> ProcessFor:
    """Return the process of a denoiser at some strength; None finds one for each series."""
    model = model_entry(denoiser.description, denoiser.network)
    hashed = f"sha256 {model['sha256'][:12]}"

    def process_for(sample: Callable[[], Sample], slices: int) -> Process:
        denoiser.expect(slices)
        chosen = strength
        if chosen is None:
            images, places = sample()
            first = places[0] if places else Place("", None, None)
            chosen = automatic_strength(images, first.pixel_mm, first.thickness_mm)
        return Process(
            name=model["name"],
            identity=f"{model['sha256']}/{strength!r}",
            done="denoised",
            summary=f"Denoised slice by slice, model {model['name']} ({hashed}), strength {chosen:g}",
            series_offset=1000,
            entry={"model": model, "strength": chosen},
            device=str(denoiser.device),
            batch_size=lambda: denoiser.batch_size,
            ran=lambda: {"engine": denoiser.engine, "full_field": denoiser.full_field},
            apply=lambda hu, _: denoiser(hu, strength=chosen),
        )

    return process_for
