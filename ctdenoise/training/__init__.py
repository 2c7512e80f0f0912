"""What the bundles in ``pipelines/`` instantiate and MONAI does not have."""

from ctdenoise.training.data import LoadCTSliced, LoadNoised, LoadPhotographd, SmoothCTd, slabs, validation_set
from ctdenoise.training.datasets import load_data, prepare
from ctdenoise.training.export import export_model
from ctdenoise.training.handlers import (
    GradientClipping,
    SeedEachEpoch,
    TrainingProgress,
    best_checkpoint,
    checkpoint,
    key_metric,
    latest_checkpoint,
    run_or_resume,
)
from ctdenoise.training.mixup import PrepareMixedBatch
from ctdenoise.training.network import WholeImageInferer, calibrate, initialise_network
from ctdenoise.training.own_noise import own_noise
from ctdenoise.training.teaching import PrepareTaughtBatch

__all__ = [
    "GradientClipping",
    "LoadCTSliced",
    "LoadNoised",
    "LoadPhotographd",
    "PrepareMixedBatch",
    "PrepareTaughtBatch",
    "SeedEachEpoch",
    "SmoothCTd",
    "TrainingProgress",
    "WholeImageInferer",
    "best_checkpoint",
    "calibrate",
    "checkpoint",
    "export_model",
    "initialise_network",
    "key_metric",
    "latest_checkpoint",
    "load_data",
    "own_noise",
    "prepare",
    "run_or_resume",
    "slabs",
    "validation_set",
]
