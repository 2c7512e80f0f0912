"""What was done to an image, with every parameter that can change a pixel value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """An operation as it was resolved for one series.

    Attributes
    ----------
    name
        Of the model or method, e.g. ``"ct-lowdose"``.
    version
        Of the model or method.
    parameters
        Every value that can change a result, as resolved (a strength, never "auto"), and the numerical environment;
        JSON types only.
    label
        The operation as a past participle for Series Description and comments, e.g. ``"denoised 0.75"``.
        It is no part of the identity.
    description
        One sentence for Derivation Description.
    series_number_offset
        Added to the source's Series Number, so that source and derived series are listed apart.
    """

    name: str
    version: str
    parameters: Mapping[str, Any]
    label: str
    description: str
    series_number_offset: int

    @cached_property
    def identity(self) -> str:
        """SHA-256 of name, version and all parameters: equal exactly where all of them are equal."""
        return json_sha256([self.name, self.version, self.parameters])


def as_json_types(value: Any) -> Any:
    """Return a value as it is read back from JSON: tuples become lists.

    Raises
    ------
    TypeError
        If the value holds anything that JSON has no type for.
    """
    return json.loads(json.dumps(value))


def json_sha256(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON (sorted keys, no spaces).

    Raises
    ------
    TypeError
        If the value holds anything but JSON types.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
