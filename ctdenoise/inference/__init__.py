"""Denoising with a trained model: arrays, and whole DICOM series."""

from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.series import SeriesResult, denoise_folder, denoise_series

__all__ = ["Denoiser", "SeriesResult", "denoise_folder", "denoise_series"]
