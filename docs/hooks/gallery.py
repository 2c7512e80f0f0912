"""Make the gallery and put it into the site."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs.hooks.cached import REPOSITORY, made

GALLERY = REPOSITORY / "docs" / "gallery"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page and its pictures."""
    folder = made("gallery", [GALLERY / "make.py"], "-o", sorted(GALLERY.glob("*.py")))
    for path in sorted(folder.iterdir()):
        files.append(File.generated(config, f"gallery/{path.name}", abs_src_path=str(path)))
    return files
