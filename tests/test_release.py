"""One version everywhere, and a tag only for what the CHANGELOG calls released."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

#: Names at conda-forge that differ from those at PyPI.
CONDA = {
    "torch": "pytorch",
    "open_clip_torch": "open-clip-torch",
    "python-gdcm": "gdcm",
    "matplotlib": "matplotlib-base",
}
REPOSITORY = Path(__file__).parents[1]
#: Tag that is being released, given by the release workflow.
TAG = os.environ.get("CTDENOISE_RELEASE_TAG")


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def version() -> str:
    found = re.search(r'^__version__ = "([^"]+)"$', text("ctdenoise/version.py"), re.MULTILINE)
    assert found
    return found[1]


def newest_change() -> tuple[str, str]:
    """Return version and date of the first heading of the CHANGELOG."""
    found = re.search(r"^## (\S+) \(([^)]+)\)$", text("CHANGELOG.md"), re.MULTILINE)
    assert found
    return found[1], found[2]


def test_changelog_citation_and_archive_have_the_version_of_the_package():
    assert newest_change()[0] == version()
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version()
    assert json.loads(text(".zenodo.json"))["version"] == version()


def test_the_build_takes_the_version_from_the_package():
    assert 'dynamic = ["version"]' in text("pyproject.toml")
    assert '[tool.hatch.version]\npath = "ctdenoise/version.py"' in text("pyproject.toml")


@pytest.mark.skipif(TAG is None, reason="no tag is being released")
def test_the_tag_is_the_version_and_the_changelog_gives_its_date():
    assert f"v{version()}" == TAG
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", newest_change()[1])


@pytest.mark.parametrize(
    "file", sorted(p.relative_to(REPOSITORY).as_posix() for p in REPOSITORY.glob(".github/**/*.yml"))
)
def test_github_files_are_yaml_and_name_make_targets_that_exist(file):
    yaml.safe_load(text(file))
    targets = set(re.findall(r"^([\w-]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"run: make ([\w-]+)", text(file))) <= targets


def test_the_conda_recipe_has_the_version_and_the_dependencies_of_the_package():
    recipe = yaml.safe_load(text("packaging/conda/recipe.yaml"))
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert recipe["context"] == {"name": project["name"], "version": version()}
    needed = [re.fullmatch(r"([\w-]+)(>=[\w.]+)", dependency) for dependency in project["dependencies"]]
    expected = [f"{CONDA.get(found[1], found[1].lower())} {found[2]}" for found in needed if found]
    assert recipe["requirements"]["run"] == ["python >=3.11", *expected]


def test_the_citation_is_complete():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "license"} <= citation.keys()
    assert citation["license"] == "Apache-2.0"
