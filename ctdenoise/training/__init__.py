"""What the bundles in ``pipelines/`` instantiate and MONAI does not have."""

from ctdenoise.training.data import LoadCTSliced, list_ct_slices
from ctdenoise.training.export import export_model
from ctdenoise.training.handlers import GradientClipping, latest_checkpoint, resume
from ctdenoise.training.network import initialise_network

__all__ = [
    "GradientClipping",
    "LoadCTSliced",
    "export_model",
    "initialise_network",
    "latest_checkpoint",
    "list_ct_slices",
    "resume",
]
