"""How good a result is: metrics with their windows beside them, and pictures."""

from ctdenoise.evaluation.comparison import ct_comparison
from ctdenoise.evaluation.figures import comparison_figure
from ctdenoise.evaluation.metrics import WINDOWS, Window, window_metrics
from ctdenoise.evaluation.photographs import photograph_comparison

__all__ = ["WINDOWS", "Window", "comparison_figure", "ct_comparison", "photograph_comparison", "window_metrics"]
