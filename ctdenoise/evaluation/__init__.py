"""Image quality: fidelity metrics, CT physics, comparison with other denoisers, reports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctdenoise.evaluation.comparison import ct_comparison
    from ctdenoise.evaluation.context import context_comparison, sphere_comparison
    from ctdenoise.evaluation.figures import comparison_figure
    from ctdenoise.evaluation.metrics import window_metrics
    from ctdenoise.evaluation.patients import patient_comparison
    from ctdenoise.evaluation.photographs import photograph_comparison
    from ctdenoise.evaluation.windows import WINDOWS, Window

__all__ = [
    "WINDOWS",
    "Window",
    "comparison_figure",
    "context_comparison",
    "ct_comparison",
    "patient_comparison",
    "photograph_comparison",
    "sphere_comparison",
    "window_metrics",
]

_MODULES = {
    "WINDOWS": "windows",
    "Window": "windows",
    "comparison_figure": "figures",
    "context_comparison": "context",
    "ct_comparison": "comparison",
    "patient_comparison": "patients",
    "photograph_comparison": "photographs",
    "sphere_comparison": "context",
    "window_metrics": "metrics",
}


def __getattr__(name: str) -> Any:
    """Import a public name, and the libraries it needs, only where it is used."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
