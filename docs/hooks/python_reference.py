"""Make a page for each package with public names, from their docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).parents[2] / "ctdenoise"
#: Modules whose public names are documented, with what they are for. Of a package: the names in ``__all__`` or
#: ``__init__.pyi``; of a module: all its public classes and functions.
MODULES = {
    "ctdenoise.inference": "Denoise files and arrays",
    "ctdenoise.inference.operations": "Operations on slices",
    "ctdenoise.inference.monai_transforms": "MONAI transforms that denoise",
    "ctdenoise.inference.monai_inputs": "MONAI transforms that load CT",
    "ctdenoise.inference.manifest": "The manifest",
    "ctdenoise.evaluation": "Image quality",
    "ctdenoise.evaluation.evaluate": "Evaluation of series",
    "ctdenoise.evaluation.document": "The result of an evaluation",
    "ctdenoise.evaluation.physics_document": "The CT physics in that result",
    "ctdenoise.audit.entry": "Audit of a derived series",
    "ctdenoise.audit.document": "The result of an audit",
    "ctdenoise.transforms": "MONAI transforms of pixel values",
    "ctdenoise.models": "The network",
    "ctdenoise.models.zoo": "Models that ship",
    "ctdenoise.training": "Training",
    "ctdenoise.noise.lowdose": "Simulation of a lower dose",
    "ctdenoise.noise.phantom": "Phantoms",
    "ctdenoise.io.dicom": "DICOM",
    "ctdenoise.io.dicom.create": "New DICOM series",
    "ctdenoise.io.volumes": "NIfTI, NRRD and MetaImage",
    "ctdenoise.io.images": "Photographs",
    "ctdenoise.errors": "Errors",
}
FOLDER = "reference/python"


def public_names(module: str) -> list[str]:
    """Return the public classes and functions of a module, without importing it."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    if (stub := path / "__init__.pyi").is_file():
        return sorted(
            a.name for n in ast.parse(stub.read_text()).body if isinstance(n, ast.ImportFrom) for a in n.names
        )
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(name for name in ast.literal_eval(node.value) if not name.isupper())
    defined = [node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    return sorted(name for name in defined if not name.startswith("_"))


def reference_pages() -> dict[str, str]:
    """Return the path and text of each page."""
    pages = {}
    rows = ["# Python", "", "| module | for | names |", "| --- | --- | --- |"]
    for module, title in MODULES.items():
        page = f"{module.removeprefix('ctdenoise.')}.md"
        names = public_names(module)
        rows.append(f"| [`{module}`]({page}) | {title} | {', '.join(f'`{name}`' for name in names)} |")
        entries = "\n\n".join(f"::: {module}.{name}" for name in names)
        pages[f"{FOLDER}/{page}"] = f"---\ntitle: {title}\n---\n\n# {title}\n\n`{module}`\n\n{entries}\n"
    return {f"{FOLDER}/index.md": "\n".join(rows) + "\n", **pages}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, text in reference_pages().items():
        files.append(File.generated(config, name, content=text))
    return files
