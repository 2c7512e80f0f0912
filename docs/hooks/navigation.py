"""Fill the navigation: names that end in ``/`` become the pages of that folder, and no page is left out."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

#: Section for the pages of docs/ itself that the navigation does not name.
REST = "Explanation"


def _filled(entry: Any, pages: list[str]) -> Any:
    if isinstance(entry, list):
        return [_filled(item, pages) for item in entry]
    if isinstance(entry, dict):
        return {title: _filled(value, pages) for title, value in entry.items()}
    return [page for page in pages if page.startswith(entry)] if entry.endswith("/") else entry


def _named(entry: Any) -> set[str]:
    if isinstance(entry, str):
        return {entry}
    return {name for item in (entry.values() if isinstance(entry, dict) else entry) for name in _named(item)}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace folders by their pages, the index first, and add the pages that are named nowhere."""
    pages = sorted(file.src_uri for file in files.documentation_pages())
    pages.sort(key=lambda page: not page.endswith("index.md"))
    nav = _filled(config.nav, pages)
    named = _named(nav)
    rest = [page for page in pages if "/" not in page and page not in named]
    for section in nav:
        if REST in section:
            section[REST] += rest
    config.nav = nav
    return files
