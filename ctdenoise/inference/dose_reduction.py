"""Simulation of a lower dose, in the projections of an image, as an operation on slices."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.inference.environment import require_same_environment
from ctdenoise.inference.operations import Resolved, SeriesSample, SliceInfo
from ctdenoise.noise.lowdose import Kernel, Scan, dose_noise
from ctdenoise.noise.matching import match_scan
from ctdenoise.provenance import Provenance
from ctdenoise.version import __version__

#: Name of the operation.
DOSE_REDUCTION = "low-dose simulation"
#: How its description begins.
_INSERTED = "Noise of {dose} of the dose inserted in projections"


@dataclass(frozen=True, kw_only=True)
class DoseReductionRequest:
    """Dose reduction as a user asks for it; see :class:`~ctdenoise.inference.operations.OperationRequest`.

    Attributes
    ----------
    dose
        Of the result, relative to the source's: above 0, below 1.
    photons, electronic, kernel
        Of the source's scan, as in :class:`~ctdenoise.noise.lowdose.Scan`. Photons and kernel that are None are those
        that make the noise measured in the series; measured photons follow the tube current of each slice, where all
        slices have one.
    seed
        Determines the noise together with an image's UID.

    Raises
    ------
    ValueError
        If the dose is out of range.
    """

    dose: float
    photons: float | None = None
    electronic: float = 10.0
    kernel: Kernel | None = None
    seed: int = 0
    series_number_offset: int = 2000

    def __post_init__(self) -> None:
        if not 0 < self.dose < 1:
            raise ValueError(f"dose: expected a value above 0 and below 1, found {self.dose:g}; for 25 % give 0.25")
        # 1 and 1.0 are one request: as JSON they differ.
        for name in ("dose", "photons", "electronic"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Dose, scan and seed as asked for."""
        return {
            "dose": self.dose,
            "photons": self.photons,
            "electronic": self.electronic,
            "kernel": self.kernel and asdict(self.kernel),
            "seed": self.seed,
        }

    def resolve(self, sample: SeriesSample) -> Resolved:
        """Find the photons and the kernel that make the noise of the series.

        Raises
        ------
        InputError
            If the pixel spacing is unknown, or there are no uniform regions to measure in.
        """
        if not sample.images:
            raise InputError("expected slices, found none that can be read")
        currents = [info.tube_current_ma for info in sample.slices if info.tube_current_ma]
        measured_photons = self.photons is None and len(currents) == len(sample.slices)
        mean = sum(currents) / len(currents) if measured_photons else None
        scan = match_scan(
            sample.images,
            _pixel_spacing(sample.slices[0]),
            kernel=self.kernel,
            photons=self.photons,
            electronic=self.electronic,
            currents=[current / mean for current in currents] if mean else None,
        )
        scan = replace(scan, photons=float(scan.photons), electronic=float(scan.electronic))
        return Resolved(DoseReduction(self.dose, scan, mean, self.seed))

    def restore(self, parameters: Mapping[str, Any]) -> DoseReduction:
        """Return the operation with the scan that an earlier run measured."""
        kernel = dict(parameters["scan"]["kernel"])
        kernel["curve"] = tuple(tuple(point) for point in kernel["curve"])
        scan = Scan(**{**parameters["scan"], "kernel": Kernel(**kernel)})
        operation = DoseReduction(self.dose, scan, parameters["tube_current_ma"], self.seed)
        require_same_environment(parameters["environment"], operation.provenance.parameters["environment"])
        return operation


@dataclass(frozen=True)
class DoseReduction:
    """Noise of a lower dose, all parameters resolved; see :class:`~ctdenoise.inference.operations.SliceOperation`.

    Attributes
    ----------
    dose, seed
        See :class:`DoseReductionRequest`.
    scan
        Photons, electronic noise and kernel of the source's scan.
    tube_current_ma
        Mean tube current that the photons are for; None if they hold for all slices.
    """

    dose: float
    scan: Scan
    tube_current_ma: float | None
    seed: int

    @cached_property
    def provenance(self) -> Provenance:
        """Dose, scan as resolved, seed, and the numerical environment."""
        kernel = self.scan.kernel
        current = f" at {self.tube_current_ma:.4g} mA" if self.tube_current_ma else ""
        cutoff = f" cut off at {kernel.cutoff_per_mm:g} cycles/mm" if kernel.cutoff_per_mm else ""
        scan = asdict(self.scan)
        return Provenance(
            name=DOSE_REDUCTION,
            version=__version__,
            parameters={
                "dose": self.dose,
                "seed": self.seed,
                "scan": scan,
                "tube_current_ma": self.tube_current_ma,
                "environment": {
                    "ctdenoise": __version__,
                    "numpy": np.__version__,
                    "hardware": platform.machine(),
                },
            },
            label=f"{self.dose:.3g} of the dose simulated",
            description=(
                f"{_INSERTED.format(dose=f'{self.dose:.3g}')} (parallel beam, "
                f"{self.scan.photons:.3g} photons{current}, electronic noise {self.scan.electronic:g}, "
                f"kernel {kernel.window}{cutoff}, seed {self.seed})"
            ),
            series_number_offset=DoseReductionRequest.series_number_offset,
        )

    @property
    def batch_size(self) -> int:
        """One slice for each processor."""
        return os.cpu_count() or 1

    @property
    def parallel_calls(self) -> int:
        """One: a call uses all processors."""
        return 1

    @property
    def context(self) -> int:
        """None: each slice is processed alone."""
        return 0

    def __call__(self, hu: NDArray[np.float32], slices: Sequence[SliceInfo]) -> NDArray[np.float32]:
        """Add noise to ``[B, H, W]`` HU."""
        with ThreadPoolExecutor(self.batch_size) as pool:
            return np.stack(list(pool.map(self._add_noise, hu, slices)))

    def run_info(self) -> dict[str, Any]:
        """Return device and batch size."""
        return {"device": "cpu", "batch_size": self.batch_size}

    def _add_noise(self, hu: NDArray[np.float32], info: SliceInfo) -> NDArray[np.float32]:
        digest = hashlib.sha256(f"{self.seed}/{info.key}".encode()).digest()
        rng = np.random.default_rng(list(digest))
        relative = 1.0
        if self.tube_current_ma and info.tube_current_ma:
            relative = info.tube_current_ma / self.tube_current_ma
        scan = replace(self.scan, photons=self.scan.photons * relative)
        noise = dose_noise(hu, pixel_mm=_pixel_spacing(info), dose=self.dose, scan=scan, rng=rng)
        noisy: NDArray[np.float32] = hu + noise
        return noisy


def simulated_doses(derivation: str) -> list[float]:
    """Return the doses that a DICOM Derivation Description says were simulated, relative to that before each."""
    return [float(dose) for dose in re.findall(_INSERTED.format(dose=r"(\d*\.?\d+(?:e-\d+)?)"), derivation)]


def _pixel_spacing(info: SliceInfo) -> float:
    if info.pixel_spacing_mm is None:
        raise InputError("expected the pixel spacing, found none", tag="PixelSpacing (0028,0030)")
    return info.pixel_spacing_mm
