"""Engines: ways to run one network, with the same results at different speeds.

Each engine is one module in this package with one :class:`~ctdenoise.inference.engines.base.Engine`, decorated by
``@register``; importing the package imports them all.
"""

from importlib import import_module
from pkgutil import iter_modules

from ctdenoise.inference.engines.base import AUTO, ENGINES, Engine, engine_class

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["AUTO", "ENGINES", "Engine", "engine_class"]
