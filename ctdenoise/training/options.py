"""Checks of the values that a user gives to a training, before anything is built from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser

from ctdenoise.errors import InputError
from ctdenoise.models.denoiser import SIZE_MULTIPLE

#: Keys whose values must be at least 1.
_POSITIVE = frozenset({"batch_size", "crop", "epochs", "iterations", "iterations_per_epoch"})
#: How kinds of values are called in messages.
_KINDS: dict[type, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a name",
    list: "a list",
    dict: "a dictionary",
}


def check_options(configuration: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Check values given for keys of a configuration against its own.

    Parameters
    ----------
    configuration
        The configuration as it is written, without the options.
    options
        Values by key; nested keys are joined by ``#`` or ``::``. Values that are expressions or references are not
        checked.

    Raises
    ------
    InputError
        If a key does not exist, or a value is not of the kind that the configuration has there.
    """
    parser = ConfigParser(dict(configuration))
    for key, value in options.items():
        if key.split("#")[0].split("::")[0] not in configuration:
            raise InputError(f"--{key}: expected a key of the configuration, found none")
        if isinstance(value, str) and value.startswith(("$", "@", "%")):
            continue
        _check_kind(key, value, _default(parser, key, value))
        if key in _POSITIVE and value < 1:
            raise InputError(f"--{key}: expected at least 1, found {value}")
        if key == "crop" and value % SIZE_MULTIPLE:
            raise InputError(f"--{key}: expected a multiple of {SIZE_MULTIPLE}, found {value}")


def _default(parser: ConfigParser, key: str, value: Any) -> Any:
    """Return the value that the configuration has, resolved if that tells whether `value`, a text, may stand there."""
    default = parser.get(key)
    if not isinstance(default, str) or not default.startswith(("$", "@")):
        return default
    if not isinstance(value, str):
        return None
    try:
        return parser.get_parsed_content(key)
    except Exception:  # e.g. an expression that reads data: then the value is not checked
        return None


def _check_kind(key: str, value: Any, default: Any) -> None:
    kind = next((kind for kind in _KINDS if type(default) is kind), None)
    if kind is None or value is None:
        return
    fits: bool = type(value) in {float: (int, float), list: (list, tuple)}.get(kind, (kind,))
    if not fits:
        raise InputError(f"--{key}: expected {_KINDS[kind]} such as {default!r}, found {value!r}")
