"""Where bundles and data-set cards are: beside the package in a checkout, inside it once installed."""

from __future__ import annotations

from pathlib import Path

import ctdenoise
from ctdenoise.errors import InputError


def resource(kind: str, name: str) -> Path:
    """Return the folder `name` among ``pipelines`` or ``datasets``.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in names(kind):
        raise InputError(f"{kind}: expected one of {', '.join(names(kind))}, found {name}")
    return _root(kind) / name


def names(kind: str) -> list[str]:
    """Return what there is among ``pipelines`` or ``datasets``, in alphabetical order."""
    return sorted(p.name for p in _root(kind).iterdir() if (p / "README.md").is_file() or (p / "configs").is_dir())


def _root(kind: str) -> Path:
    package = Path(ctdenoise.__file__).parent
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind
