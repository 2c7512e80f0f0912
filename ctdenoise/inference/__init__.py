"""Denoising with a trained model: arrays, DICOM series, volumes."""

from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.files import denoise_path
from ctdenoise.inference.options import RunOptions
from ctdenoise.inference.results import FolderResult, SeriesResult
from ctdenoise.inference.series import denoise_folder

__all__ = [
    "Denoiser",
    "FolderResult",
    "RunOptions",
    "SeriesResult",
    "denoise_folder",
    "denoise_path",
]
