"""Links between pages work where they are read: in the repository and, made from it, in the site."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from markdown.extensions.toc import slugify

from docs.hooks.included import included_pages
from tests.conftest import REPOSITORY

#: Pages that exist in the site only, made from code and by programs.
MADE = ("docs/reference/commands/", "docs/reference/python/", "docs/reference/schemas.md", "docs/gallery/index.md")
PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted(included_pages().values()),
]


def links(page: Path) -> list[tuple[str, str]]:
    """Return file and anchor of each link to a file."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text)
    return [(file, anchor) for file, anchor in found if "://" not in file and not file.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {slugify(re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading), "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_of_a_page_leads_somewhere(page):
    for file, anchor in links(page):
        target = Path(os.path.normpath(page.parent / file)) if file else page
        name = target.relative_to(REPOSITORY).as_posix()
        if name.startswith(MADE):
            continue
        assert target.exists(), f"{file}: no such file"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{file}#{anchor}: no such section"


def test_the_readme_leads_to_each_goal_in_one_click():
    reached = {file for file, _ in links(REPOSITORY / "README.md")}
    for goal in ("denoise", "pacs", "evaluate-for-a-paper", "monai", "train"):
        assert f"docs/how-to/{goal}.md" in reached
