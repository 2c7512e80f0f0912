"""Python that README and site show: it parses, and the names of ctdenoise that it imports and calls exist."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module

import pytest

from tests.conftest import REPOSITORY
from tests.docs.test_commands import pages

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (page, block) for page in pages() for block in _BLOCK.findall((REPOSITORY / page).read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("page", "block"), EXAMPLES, ids=[page for page, _ in EXAMPLES])
def test_an_example_uses_what_there_is(page, block):
    tree = ast.parse(block)
    if "ctdenoise.integrations.monai_deploy" in block:
        pytest.importorskip("monai.deploy.core", reason="needs the MONAI Deploy App SDK")
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ctdenoise"):
            names |= {alias.name: getattr(import_module(node.module), alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            known = inspect.signature(names[node.func.id]).parameters
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
                assert {keyword.arg for keyword in node.keywords} <= known.keys(), ast.unparse(node)


def test_pages_show_examples():
    assert {"README.md", "docs/how-to/monai.md"} <= {page for page, _ in EXAMPLES}
