"""Changes of pixel values as MONAI transforms, in array and dictionary (``…d``) form."""

from ctdenoise.transforms.camera import RandCameraNoised
from ctdenoise.transforms.clip_input import ToClipInput, ToClipInputd
from ctdenoise.transforms.hounsfield import ScaleHU, ScaleHUd
from ctdenoise.transforms.kernel import RandKerneld
from ctdenoise.transforms.neighbours import RandNeighboursd
from ctdenoise.transforms.noise import RandBankNoised, RandCTNoise, RandCTNoised
from ctdenoise.transforms.recorruption import RandRecorruptedd

__all__ = [
    "RandBankNoised",
    "RandCTNoise",
    "RandCTNoised",
    "RandCameraNoised",
    "RandKerneld",
    "RandNeighboursd",
    "RandRecorruptedd",
    "ScaleHU",
    "ScaleHUd",
    "ToClipInput",
    "ToClipInputd",
]
