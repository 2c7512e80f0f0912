"""Comparison of CT denoisers and tuned filters patient by patient, at a simulated lower dose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ctdenoise.errors import InputError
from ctdenoise.evaluation.comparison import Images, method_results
from ctdenoise.evaluation.metrics import window_metrics
from ctdenoise.evaluation.tables import markdown
from ctdenoise.evaluation.tissues import TISSUES, TissueMeans, tissue_masks
from ctdenoise.evaluation.windows import WINDOWS
from ctdenoise.inference import Denoiser
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.noise.lowdose import dose_noise
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import evenly_spread

_WINDOW = WINDOWS["soft-tissue"]


class _Patient(NamedTuple):
    """Slices of a patient as they are, and with the noise of a lower dose, HU."""

    name: str
    clean: Images
    noisy: Images


def patient_comparison(
    methods: Mapping[str, Denoiser],
    folders: Sequence[str | Path],
    *,
    dose: float,
    strength: float | None = None,
    slices: int = 3,
    seed: int = 0,
) -> str:
    """Compare denoisers patient by patient, as Markdown tables of PSNR in soft tissue and of the bias of tissues.

    The reference is the slice as it is. Noise of a lower dose is simulated for each slice with the kernel and the
    photons measured in it. Gaussian blur, total variation, non-local means and, if installed, BM3D use for each patient
    the parameter that gives the best PSNR on these very slices. Slices are denoised alone, without neighbours.

    Parameters
    ----------
    methods
        Denoisers by name.
    folders
        Each with DICOM slices of one patient.
    dose
        Fraction of the full dose.
    strength
        By default 1 − `dose`, which leaves about the noise of the reference.
    slices
        Largest number of slices of a patient, evenly spread.
    seed
        Seed of the noise.

    Returns
    -------
    str
        A row for each patient, and the mean; then for each method the bias of each tissue over all patients, HU.

    Raises
    ------
    InputError
        If a folder has no slice with enough uniform soft tissue to measure its noise.
    """
    at_strength = 1 - dose if strength is None else strength
    denoisers = {name: partial(denoiser, strength=at_strength) for name, denoiser in methods.items()}
    rows: list[dict[str, float]] = []
    bias: dict[str, TissueMeans] = {}
    names = []
    for folder in folders:
        patient = _read(Path(folder), dose, slices, seed)
        masks = [tissue_masks(image) for image in patient.clean]
        rows.append({})
        for result in method_results(patient.clean, patient.noisy, denoisers):
            for mask, clean, image in zip(masks, patient.clean, result.images, strict=True):
                bias.setdefault(result.method, TissueMeans()).add(mask, clean, image)
            rows[-1][result.method] = window_metrics(patient.clean, result.images, _WINDOW)["psnr"]
        names.append(f"{patient.name} ({len(patient.clean)})")
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    psnr = [
        {"patient (slices)": name, **{method: f"{value:.2f} dB" for method, value in row.items()}}
        for name, row in zip([*names, "mean"], [*rows, means], strict=True)
    ]
    return f"{markdown(psnr)}\n\n{markdown([_bias(name, found) for name, found in bias.items()])}"


def _read(folder: Path, dose: float, count: int, seed: int) -> _Patient:
    files = [file for series in discover(folder).series for file in series.slices]
    clean: Images = []
    noisy: Images = []
    for file in (files[i] for i in evenly_spread(len(files), count)):
        image = read_slice(file.path)
        pixel_mm = image.pixel_spacing_mm or 1.0
        try:
            scan = match_scan([image.hu], pixel_mm)
        except InputError:
            continue
        rng = np.random.default_rng([seed, len(clean)])
        clean.append(image.hu)
        noisy.append(image.hu + dose_noise(image.hu, pixel_mm=pixel_mm, dose=dose, scan=scan, rng=rng))
    if not clean:
        raise InputError("expected a CT slice with uniform soft tissue, found none", path=folder)
    return _Patient(folder.name, clean, noisy)


def _bias(name: str, found: TissueMeans) -> dict[str, str]:
    measured = found.statistics()
    return {
        "bias": name,
        **{tissue: f"{measured[tissue].bias_hu:+.2f} HU" for tissue in TISSUES if tissue in measured},
    }
