"""Denoise CT series with a frozen CLIP-layout ResNet and a learned decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ctdenoise.version import __version__

if TYPE_CHECKING:
    from ctdenoise.inference import Denoiser, RunOptions, denoise

__all__ = ["Denoiser", "RunOptions", "__version__", "denoise"]


def __getattr__(name: str) -> Any:
    """Import the public names, and torch with them, only when they are used."""
    if name in ("Denoiser", "RunOptions", "denoise"):
        import ctdenoise.inference

        return getattr(ctdenoise.inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
