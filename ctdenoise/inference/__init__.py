"""Denoising with a trained model: arrays, DICOM series, volumes."""

from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.files import denoise_images, denoise_path, denoise_volume
from ctdenoise.inference.series import FolderResult, SeriesResult, denoise_folder, denoise_series

__all__ = [
    "Denoiser",
    "FolderResult",
    "SeriesResult",
    "denoise_folder",
    "denoise_images",
    "denoise_path",
    "denoise_series",
    "denoise_volume",
]
