"""Make links between files of the repository work in the site, wherever their pages went."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[2]
#: Folder of the site for linked files that are no pages, e.g. container/module.json.
LINKED_FILES = "files"
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def _target(page: Path, link: str) -> Path | None:
    """Return the file of this repository that a link means; of a folder, its README."""
    if "://" in link or link.startswith("mailto:"):
        return None
    path = Path(os.path.normpath(page.parent / link))
    path = path / "README.md" if path.is_dir() else path
    return path if path.is_file() and path.is_relative_to(REPOSITORY) else None


def _places(files: Files) -> dict[Path, str]:
    return {Path(f.abs_src_path).resolve(): f.src_uri for f in files if f.abs_src_path}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add files that pages link to and that are not in the site."""
    places = _places(files)
    for page in list(files.documentation_pages()):
        if page.abs_src_path is None:
            continue
        for _, link, _ in _LINK.findall(page.content_string):
            target = _target(Path(page.abs_src_path), link)
            if target and target.resolve() not in places:
                name = f"{LINKED_FILES}/{target.relative_to(REPOSITORY).as_posix()}"
                files.append(File.generated(config, name, abs_src_path=str(target)))
                places[target.resolve()] = name
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let each link of a page point to where its target is in the site."""
    if page.file.abs_src_path is None:
        return markdown
    source, places = Path(page.file.abs_src_path), _places(files)

    def resolved(match: re.Match[str]) -> str:
        target = _target(source, match[2])
        if target is None:
            return match[0]
        place = places[target.resolve()]
        shown = place.removesuffix(".py") + ".md"  # of a tutorial's script, its page
        place = shown if place.endswith(".py") and files.get_file_from_path(shown) else place
        place = posixpath.relpath(place, posixpath.dirname(page.file.src_uri))
        return f"{match[1]}{place}{match[3]}"

    return _LINK.sub(resolved, markdown)
