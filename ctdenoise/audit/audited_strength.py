"""``--strength audited``: denoising with the highest strength at which the audit passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ctdenoise.audit.noise_model import measure_noise_model
from ctdenoise.audit.null import simulate_null
from ctdenoise.audit.recommendation import recommend
from ctdenoise.audit.series_audit import ASSUMED_PIXEL_MM
from ctdenoise.audit.slice_audit import SeriesNoise
from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.denoising import Denoising, DenoisingRequest
from ctdenoise.inference.operations import Resolved, SeriesSample
from ctdenoise.noise.measure import evenly_spread

AUDITED = "audited"
#: Slices of the series that are denoised to choose the strength.
_MOST_SLICES = 6


@dataclass(frozen=True)
class AuditedDenoisingRequest:
    """Denoising with a strength that the audit chooses; see :class:`~ctdenoise.inference.operations.OperationRequest`.

    Attributes
    ----------
    denoiser
        With the model, which must be for CT.
    """

    denoiser: Denoiser
    series_number_offset: int = DenoisingRequest.series_number_offset

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """Model, engine and field as asked for; the strength is ``audited``."""
        return {**DenoisingRequest(self.denoiser).parameters, "strength": AUDITED}

    def resolve(self, sample: SeriesSample) -> Resolved:
        """Denoise some slices, and take the highest strength at which their audit passes."""
        resolved = DenoisingRequest(self.denoiser, 1.0).resolve(sample)
        assert isinstance(resolved.operation, Denoising)
        denoiser = resolved.operation.denoiser
        if not sample.images:
            return resolved
        images = [np.nan_to_num(image, nan=-1024.0) for image in sample.images]
        pixel_mm = sample.slices[0].pixel_spacing_mm or ASSUMED_PIXEL_MM
        model = measure_noise_model(images, pixel_mm)
        chosen = evenly_spread(len(images), _MOST_SLICES)
        slices = [(str(i + 1), images[i], denoiser.denoise_slices(images[i][None], 1.0)[0]) for i in chosen]
        found = recommend(slices, SeriesNoise(model, simulate_null(model)))
        warnings = [] if found.strength else [found.sentence]
        return Resolved(Denoising(denoiser, found.strength), {"audited": found.as_json()}, warnings)

    def restore(self, parameters: Mapping[str, Any]) -> Denoising:
        """Return the operation with the strength and the engine of an earlier run."""
        return DenoisingRequest(self.denoiser).restore(parameters)
