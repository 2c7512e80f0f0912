"""The network: a frozen CLIP-layout ResNet encoder, a learned decoder, and the zoo of trained pairs."""

from ctdenoise.models.augmentation import ProgressiveFeatureAugmentation
from ctdenoise.models.baselines import REDCNN, DnCNN
from ctdenoise.models.decoder import FeatureDecoder
from ctdenoise.models.denoiser import ClipDenoiser, NetworkConfig, build_network
from ctdenoise.models.encoder import ClipResNetEncoder, FeatureEncoder, TimmResNetEncoder, build_encoder

__all__ = [
    "REDCNN",
    "ClipDenoiser",
    "ClipResNetEncoder",
    "DnCNN",
    "FeatureDecoder",
    "FeatureEncoder",
    "NetworkConfig",
    "ProgressiveFeatureAugmentation",
    "TimmResNetEncoder",
    "build_encoder",
    "build_network",
]
