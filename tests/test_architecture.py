"""The package is built as designed: floors, no circles, short functions, and heavy libraries imported late."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ctdenoise

PACKAGE = Path(ctdenoise.__file__).parent
#: Subpackages and modules, the lowest floor first; a module may import from lower floors and from its own room.
FLOORS = [
    {"errors", "files", "provenance", "version"},
    {"models", "noise", "io"},
    {"transforms"},
    {"inference", "training"},
    {"evaluation"},
    {"audit"},
    {"demo", "benchmark"},
    {"cohort", "container", "integrations", "service"},
    {"cli"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: In `inference/`, lines from `def` to the end.
LONGEST_FUNCTION = 50


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes, at any depth, but those below ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (n for other in child.orelse for n in (other, *statements(other)))
            continue
        yield child
        yield from statements(child)


def imported_names(path: Path) -> set[str]:
    """Return the full names that a file imports anywhere, in functions too."""
    found: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def imported_modules(path: Path) -> set[str]:
    """Return the modules of this package that a file imports; of ``from a import b``, a.b if it is a module, else a."""
    modules = set()
    for name in imported_names(path):
        module = name if name in MODULES else name.rpartition(".")[0]
        if module in MODULES:
            modules.add(module)
    return modules


GRAPH = {name: imported_modules(path) - {name} for name, path in MODULES.items()}


def room(module: str) -> str | None:
    """Return the subpackage or the module directly in the package; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else None


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_room_has_a_floor():
    assert {room(module) for module in MODULES} - {None} == set(FLOOR_OF)


def test_nothing_imports_upward_or_from_the_room_beside_it():
    wrong = [
        f"{module} imports {target}"
        for module, targets in GRAPH.items()
        for target in sorted(targets)
        if room(module) and room(target) and room(module) != room(target)
        if FLOOR_OF[str(room(target))] >= FLOOR_OF[str(room(module))]
    ]
    assert wrong == []


def test_no_circle_between_packages():
    rooms: dict[str, set[str]] = {}
    for module, targets in GRAPH.items():
        if here := room(module):
            rooms.setdefault(here, set()).update(r for t in targets if (r := room(t)) and r != here)
    assert circle(rooms) == []


def test_no_circle_inside_a_package():
    """Imports in functions count, those for type checkers do not."""
    assert circle(GRAPH) == []


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []
    tree = ast.parse("if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    import c\n")
    assert [n.names[0].name for n in statements(tree) if isinstance(n, ast.Import)] == ["b", "c"]


IMPORT_EACH_ALONE = """
import json, os, sys, traceback
# What others wrote is imported once; each child process then imports one module of this package, and nothing before it.
import matplotlib, monai, monai.transforms, nibabel, open_clip, pydicom, SimpleITK, torch, typer
assert not [name for name in sys.modules if name.split(".")[0] == "ctdenoise"]
failed = []
for module in json.load(sys.stdin):
    child = os.fork()
    if child == 0:
        try:
            __import__(module)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(module)
print(json.dumps(failed))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_every_module_can_be_imported_alone():
    # The module for MONAI's Deploy App SDK asks for it when it is imported.
    left_out = ("__main__",) if importlib.util.find_spec("monai.deploy") else ("__main__", ".monai_deploy")
    modules = [module for module in MODULES if not module.endswith(left_out)]
    call = [sys.executable, "-W", "ignore", "-c", IMPORT_EACH_ALONE]
    done = subprocess.run(call, input=json.dumps(modules), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [], done.stderr


def test_functions_that_run_a_model_are_short():
    long = []
    for path in (PACKAGE / "inference").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path.relative_to(PACKAGE)}: {node.name} has {lines} lines")
    assert long == []


def test_models_know_nothing_of_dicom_and_dicom_nothing_of_torch():
    for path in (PACKAGE / "models").rglob("*.py"):
        assert not any(module.startswith("pydicom") for module in imported_names(path)), path
    for path in (PACKAGE / "io").rglob("*.py"):
        assert not any(module.split(".")[0] in ("torch", "monai") for module in imported_names(path)), path


def test_the_command_line_starts_without_torch():
    code = "import sys, ctdenoise.cli; sys.exit(bool({'torch', 'monai', 'pydicom', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
