"""Denoising with a trained model: arrays, DICOM series, volumes."""

from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.series import FolderResult, SeriesResult, denoise_folder, denoise_series
from ctdenoise.inference.volume import denoise_path, denoise_volume

__all__ = [
    "Denoiser",
    "FolderResult",
    "SeriesResult",
    "denoise_folder",
    "denoise_path",
    "denoise_series",
    "denoise_volume",
]
