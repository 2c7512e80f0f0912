"""Take pages that live beside what they describe into the site: cards of models and data, pipelines, CONTRIBUTING."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parents[2]


def included_pages() -> dict[str, Path]:
    """Return the pages of the site that come from outside ``docs/``: their path in the site, and their file."""
    pages = {
        "contributors/index.md": REPOSITORY / "CONTRIBUTING.md",
        "contributors/changes.md": REPOSITORY / "CHANGELOG.md",
        "models/datasets/index.md": REPOSITORY / "datasets" / "README.md",
    }
    for card in sorted(REPOSITORY.glob("ctdenoise/models/pretrained/*/README.md")):
        pages[f"models/cards/{card.parent.name}.md"] = card
    for page in sorted(REPOSITORY.glob("pipelines/*/docs/README.md")):
        pages[f"models/pipelines/{page.parent.parent.name}.md"] = page
    for card in sorted(REPOSITORY.glob("datasets/*/README.md")):
        pages[f"models/datasets/{card.parent.name}.md"] = card
    return pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, path in included_pages().items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files
