"""Show the Sphinx roles in docstrings, such as ``:class:`~a.b.Name```, as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:py:)?(?:class|func|meth|mod|data|attr|exc):`(~?)([^`]+)`")


def _code(match: re.Match[str]) -> str:
    name = match[2].rpartition(".")[2] if match[1] else match[2]
    return f"`{name}`"


class Roles(griffe.Extension):
    """Extension of griffe that changes docstrings as they are collected."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the roles of one docstring."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(_code, obj.docstring.value)
