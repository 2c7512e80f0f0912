"""Denoise CT series with a frozen CLIP-layout ResNet and a learned decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctdenoise.inference import Denoiser

__version__ = "0.1.0"
__all__ = ["Denoiser", "__version__"]


def __getattr__(name: str) -> Any:
    """Import :class:`~ctdenoise.inference.Denoiser`, and torch with it, only where it is used."""
    if name == "Denoiser":
        from ctdenoise.inference import Denoiser

        return Denoiser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
