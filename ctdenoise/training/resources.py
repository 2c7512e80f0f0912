"""Paths of bundles and data-set cards: next to the package in a checkout, inside it when installed."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ctdenoise.errors import InputError


def resource(kind: str, name: str) -> Path:
    """Return the folder of a bundle or data-set card.

    Parameters
    ----------
    kind
        ``pipelines`` or ``datasets``.
    name
        One of :func:`names`.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    if name not in names(kind):
        meant = get_close_matches(name, names(kind), 1)
        hint = f"did you mean {meant[0]}?" if meant else None
        raise InputError(f"{kind}: expected one of {', '.join(names(kind))}, found {name}", hint=hint)
    return _root(kind) / name


def names(kind: str) -> list[str]:
    """Return the names of the bundles (``pipelines``) or data sets (``datasets``), in alphabetical order."""
    return sorted(p.name for p in _root(kind).iterdir() if (p / "README.md").is_file() or (p / "configs").is_dir())


def common_folder() -> Path:
    """Return the folder of what the bundles share."""
    return _root("pipelines") / "common"


def _root(kind: str) -> Path:
    package = Path(__file__).parent.parent
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind
