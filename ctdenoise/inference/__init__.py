"""Running a trained model: on arrays, DICOM series, volumes and photographs."""

from ctdenoise.inference.api import apply_operation, denoise
from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.options import RunOptions
from ctdenoise.inference.results import RunResult, SeriesResult

__all__ = ["Denoiser", "RunOptions", "RunResult", "SeriesResult", "apply_operation", "denoise"]
