"""Denoising as an operation on slices: where the strength of a series is resolved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import Help, InputError
from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.environment import require_same_environment
from ctdenoise.inference.operations import Resolved, SeriesSample, SliceInfo
from ctdenoise.inference.strength import FALLBACK_STRENGTH, automatic_strength
from ctdenoise.provenance import Provenance

AUTOMATIC = "auto"


@dataclass(frozen=True)
class DenoisingRequest:
    """Denoising as a user asks for it; see :class:`~ctdenoise.inference.operations.OperationRequest`.

    Attributes
    ----------
    denoiser
        With the model.
    strength
        From 0 to 1; None measures it in each series.
    """

    denoiser: Denoiser
    strength: float | None = None
    series_number_offset: int = 1000

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """Model, strength, engine and field as asked for."""
        return {
            "model": model_entry(self.denoiser),
            "strength": AUTOMATIC if self.strength is None else float(self.strength),
            "full_field": self.denoiser.full_field,
            "engine": self.denoiser.requested_engine,
            "device": self.denoiser.requested_device,
        }

    def resolve(self, sample: SeriesSample) -> Resolved:
        """Choose the engine, and measure the strength if none was given."""
        denoiser = self.denoiser
        if sample.images:
            denoiser = denoiser.with_fastest_engine(sample.images[len(sample.images) // 2], sample.count)
        if self.strength is not None:
            return Resolved(Denoising(denoiser, float(self.strength)))
        if not sample.images:  # no slice can be read: the run names each, and none gets a strength
            return Resolved(Denoising(denoiser, FALLBACK_STRENGTH))
        first = sample.slices[0]
        estimate = automatic_strength(sample.images, first.pixel_spacing_mm, first.slice_thickness_mm)
        measured = {key: value for key, value in asdict(estimate).items() if key != "warnings"}
        return Resolved(Denoising(denoiser, estimate.strength), {"strength": measured}, estimate.warnings)

    def restore(self, parameters: Mapping[str, Any]) -> Denoising:
        """Return the operation with the strength and the engine of an earlier run."""
        environment = parameters["environment"]
        denoiser = self.denoiser.with_engine(environment["engine"])
        require_same_environment(environment, denoiser.environment())
        return Denoising(denoiser, float(parameters["strength"]))


@dataclass(frozen=True)
class Denoising:
    """A model applied with a resolved strength; see :class:`~ctdenoise.inference.operations.SliceOperation`.

    Attributes
    ----------
    denoiser
        With the model and a chosen engine.
    strength
        0 keeps the source, 1 is the network's output.
    """

    denoiser: Denoiser
    strength: float

    @cached_property
    def provenance(self) -> Provenance:
        """Model, strength, field and numerical environment."""
        model = model_entry(self.denoiser)
        seen = ""
        if self.context:
            seen = ", each averaged with its neighbours" if self.denoiser.averaging else ", each with its neighbours"
        description = (
            f"Denoised slice by slice{seen}, model {model['name']} (sha256 {model['sha256'][:12]}), "
            f"strength {self.strength:g}"
        )
        return Provenance(
            name=model["name"],
            version=model.get("version", ""),
            parameters={
                "model": model,
                "strength": self.strength,
                "full_field": self.denoiser.full_field,
                "correlated_noise": self.denoiser.correlated_noise,
                "training_noise": self.denoiser.training_noise,
                "environment": self.denoiser.environment(),
            },
            label=f"denoised {self.strength:.3g}",
            description=description,
            series_number_offset=DenoisingRequest.series_number_offset,
        )

    @property
    def batch_size(self) -> int:
        """Slices at once."""
        return self.denoiser.batch_size

    @property
    def parallel_calls(self) -> int:
        """Calls at the same time that the engine works on."""
        return self.denoiser.parallel_calls

    @property
    def context(self) -> int:
        """Neighbours on each side that the model sees."""
        return self.denoiser.context

    def __call__(self, hu: NDArray[np.float32], slices: Sequence[SliceInfo]) -> NDArray[np.float32]:
        """Denoise ``[B, H, W]`` HU, or with a context c ``[B, 2c + 1, H, W]``."""
        return self.denoiser.denoise_slices(hu, self.strength)

    def run_info(self) -> dict[str, Any]:
        """Return device and batch size."""
        return {"device": str(self.denoiser.device), "batch_size": self.denoiser.batch_size}


def model_entry(denoiser: Denoiser) -> dict[str, str]:
    """Return what identifies a model: names and hashes; for a network that is not from the zoo, a hash of it."""
    description = denoiser.description
    if description is None:
        digest = hashlib.sha256(repr(denoiser.network).encode())
        tensors = dict(denoiser.network.state_dict())
        if denoiser.averaging is not None:
            digest.update(repr(denoiser.averaging).encode())
            tensors |= {f"averaging.{name}": value for name, value in denoiser.averaging.state_dict().items()}
        for name, value in tensors.items():
            digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
        return {"name": "custom", "sha256": digest.hexdigest()}
    entry = {
        "name": description.name,
        "version": description.version,
        "sha256": description.sha256,
        "encoder": description.encoder_name,
        "encoder_sha256": description.encoder_sha256,
        "decoder_sha256": description.decoder_sha256,
        "averaging_sha256": description.averaging_sha256,
    }
    return {key: value for key, value in entry.items() if value is not None}


def require_model_for(denoiser: Denoiser, *, photographs: bool, source: Path | None = None) -> None:
    """Raise InputError unless the model is for photographs, or for CT, as needed."""
    if photographs and denoiser.hu_range is not None:
        raise InputError(
            "expected a model for photographs, found one for CT",
            path=source,
            hint="name one, as --model natural-lite; ctdenoise models list has all",
            see=Help.OTHER_KIND_OF_MODEL,
        )
    if not photographs and denoiser.hu_range is None:
        raise InputError(
            "expected a model for CT, found one for photographs",
            path=source,
            hint="name one, as --model ct-lowdose; ctdenoise models list has all",
            see=Help.OTHER_KIND_OF_MODEL,
        )
