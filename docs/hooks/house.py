"""Draw the house: which packages stand on which floor, and what each imports, from the code itself."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

MARKER = "<!-- house -->"
WIDTH, FLOOR_HEIGHT, ROOM_HEIGHT = 760, 92, 40


@cache
def _architecture() -> ModuleType:
    """Return the test that checks floors and imports: it knows both."""
    path = Path(__file__).parents[2] / "tests" / "test_architecture.py"
    spec = importlib.util.spec_from_file_location("architecture", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def floors() -> list[list[str]]:
    """Return the rooms of each floor, the highest first."""
    return [sorted(rooms) for rooms in reversed(_architecture().FLOORS)]


def imports() -> set[tuple[str, str]]:
    """Return which room imports which, but for the ground floor, which all may use."""
    test = _architecture()
    pairs = {(test.room(module), test.room(target)) for module, targets in test.GRAPH.items() for target in targets}
    return {(a, b) for a, b in pairs if a and b and a != b and test.FLOOR_OF[b] > 0}


def drawing() -> str:
    """Return the drawing as SVG in the colours of the page around it."""
    rows, places = floors(), {}
    for level, rooms in enumerate(rows):
        for index, room in enumerate(rooms):
            places[room] = ((index + 0.5) * WIDTH / len(rooms), level * FLOOR_HEIGHT + 8)
    height = len(rows) * FLOOR_HEIGHT - FLOOR_HEIGHT + ROOM_HEIGHT + 16
    lines, boxes = [], []
    for upper, lower in sorted(imports()):
        (x1, y1), (x2, y2) = places[upper], places[lower]
        lines.append(f'<path d="M{x1:.0f} {y1 + ROOM_HEIGHT} C{x1:.0f} {y1 + 70} {x2:.0f} {y2 - 30} {x2:.0f} {y2}"/>')
    for room, (x, y) in places.items():
        width = min(WIDTH / max(len(r) for r in rows if room in r) - 16, 170)
        boxes.append(
            f'<rect x="{x - width / 2:.0f}" y="{y}" width="{width:.0f}" height="{ROOM_HEIGHT}" rx="6"/>'
            f'<text x="{x:.0f}" y="{y + 25}">{room}</text>'
        )
    return (
        f'<figure><svg class="house" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Packages by floor">'
        f"{''.join(lines)}{''.join(boxes)}</svg></figure>"
    )


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the drawing where a page asks for it."""
    return markdown.replace(MARKER, drawing()) if MARKER in markdown else markdown
