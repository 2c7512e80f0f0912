"""The site: made from the code, complete, and independent of any network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from ctdenoise.cli import app
from docs.hooks import commands, house, included, python_reference, schemas, tutorials
from tests import test_architecture
from tests.conftest import REPOSITORY


def test_every_command_has_a_page_with_all_its_options():
    pages = commands.command_pages()
    group = typer.main.get_command(app)
    assert {f"reference/commands/{name}.md" for name in group.commands} == pages.keys() - {
        "reference/commands/index.md"
    }
    for name, command in group.commands.items():
        for one in getattr(command, "commands", {name: command}).values():
            for option in (option for parameter in one.params for option in parameter.opts if option.startswith("--")):
                assert option in pages[f"reference/commands/{name}.md"]
        assert f"[`{name}`]({name}.md): " in pages["reference/commands/index.md"]


def test_every_page_beside_what_it_describes_is_in_the_site():
    beside = {
        path.relative_to(REPOSITORY)
        for place in ("pipelines/*/docs/README.md", "ctdenoise/models/pretrained/*/README.md", "datasets/**/README.md")
        for path in REPOSITORY.glob(place)
    }
    shown = {path.relative_to(REPOSITORY) for path in included.included_pages().values()}
    assert shown == beside | {Path("CONTRIBUTING.md"), Path("CHANGELOG.md")}


def test_the_house_is_drawn_as_it_is_built():
    drawing = house.drawing()
    rooms = {room for rooms in test_architecture.FLOORS for room in rooms}
    assert set(re.findall(r"<text [^>]*>(\w+)</text>", drawing)) == rooms
    assert drawing.count("<path") == len(house.imports())
    assert ("cli", "inference") in house.imports()
    heights = {room: level for level, rooms in enumerate(house.floors()) for room in rooms}
    assert all(heights[upper] < heights[lower] for upper, lower in house.imports())


def test_public_names_are_documented():
    for module in python_reference.MODULES:
        names = python_reference.public_names(module)
        assert names, module
        page = python_reference.reference_pages()[f"reference/python/{module.removeprefix('ctdenoise.')}.md"]
        assert all(f"::: {module}.{name}" in page for name in names)


def test_schemas_name_every_field():
    page = schemas.schema_page()
    assert schemas.schemas().keys() == {"manifest", "metrics", "audit", "model"}
    for schema in schemas.schemas().values():
        assert all(f"| `{name}` |" in page for name in schema["properties"])


def test_every_page_that_the_navigation_names_is_there():
    def named(entry):
        items = entry.values() if isinstance(entry, dict) else entry
        return {entry} if isinstance(entry, str) else {name for item in items for name in named(item)}

    settings = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    made = {
        *(f"tutorials/{script.stem}.md" for script in tutorials.scripts()),
        *included.included_pages(),
        *commands.command_pages(),
        "gallery/index.md",
        "reference/schemas.md",
    }
    for name in named(settings["nav"]):
        assert name.endswith("/") or name in made or (REPOSITORY / "docs" / name).is_file(), name


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"([^\"]+)", page.read_text(encoding="utf-8")
        )
        assert not [address for address in loaded if address.startswith(("http:", "https:", "//"))], page
    assert (tmp_path / "site" / "search" / "search_index.js").is_file()  # read from disk
