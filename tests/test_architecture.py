"""The house stands as designed: nothing imports upward, heavy things wait."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import ctdenoise

PACKAGE = Path(ctdenoise.__file__).parent
FLOORS = [
    {"errors", "files"},
    {"models", "noise", "io"},
    {"transforms"},
    {"inference", "evaluation", "training"},
    {"demo", "benchmark"},
    {"cli", "service"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> set[str]:
    """All modules a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_nothing_imports_upward_or_from_the_room_beside_it_on_the_ground_floor():
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in FLOOR_OF:
            continue
        for module in imports(path):
            target = module.split(".")[1] if module.startswith("ctdenoise.") else None
            if target in FLOOR_OF and target != room:
                below = FLOOR_OF[target] < FLOOR_OF[room]
                beside = FLOOR_OF[target] == FLOOR_OF[room] == 3
                assert below or beside, f"{path.relative_to(PACKAGE)} imports {module}"


def test_models_know_nothing_of_dicom_and_dicom_nothing_of_torch():
    for path in (PACKAGE / "models").rglob("*.py"):
        assert not any(module.startswith("pydicom") for module in imports(path)), path
    for path in (PACKAGE / "io").rglob("*.py"):
        assert not any(module.split(".")[0] in ("torch", "monai") for module in imports(path)), path


def test_the_command_line_starts_without_torch():
    code = "import sys, ctdenoise.cli; sys.exit(bool({'torch', 'monai', 'pydicom', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
