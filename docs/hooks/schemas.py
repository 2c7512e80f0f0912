"""Write the JSON schemas of the documents that ctdenoise writes, from the classes that write them."""

from __future__ import annotations

import json
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import TypeAdapter

FOLDER = "reference/schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each kind of document."""
    from ctdenoise.audit.document import Audit
    from ctdenoise.evaluation.document import Evaluation
    from ctdenoise.inference.manifest import Manifest
    from ctdenoise.models.zoo import ModelDescription

    return {
        "manifest": Manifest.model_json_schema(),
        "metrics": Evaluation.model_json_schema(),
        "audit": Audit.model_json_schema(),
        "model": TypeAdapter(ModelDescription).json_schema(),
    }


def _kind(field: dict[str, Any]) -> str:
    """Return the type of a field in words."""
    if "$ref" in field:
        return f"[{field['$ref'].rpartition('/')[2]}](#{field['$ref'].rpartition('/')[2].lower()})"
    if "anyOf" in field:
        return " or ".join(_kind(option) for option in field["anyOf"])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if field.get("type") == "array" and isinstance(field.get("items"), dict):
        return f"list of {_kind(field['items'])}"
    return str(field.get("type", "any"))


def _table(schema: dict[str, Any]) -> list[str]:
    rows = ["| field | type | |", "| --- | --- | --- |"]
    for name, field in schema.get("properties", {}).items():
        needed = "" if name in schema.get("required", ()) else "optional; "
        text = field.get("description", "").replace("\n", " ").replace("|", "\\|")
        rows.append(f"| `{name}` | {needed}{_kind(field)} | {text} |")
    return rows


def schema_page() -> str:
    """Return the page that lists every field of every document."""
    lines = ["# JSON schemas", "", "Made from the classes that read and write these documents.", ""]
    for name, schema in schemas().items():
        lines += [f"## {name}.json", "", f"Schema: [{name}.schema.json](schemas/{name}.schema.json)", ""]
        lines += [*_table(schema), ""]
        for part, definition in schema.get("$defs", {}).items():
            if "properties" in definition:
                lines += [f"### {part}", "", *_table(definition), ""]
    return "\n".join(lines)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the schemas and their page."""
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=2) + "\n"
        files.append(File.generated(config, f"{FOLDER}/{name}.schema.json", content=text))
    files.append(File.generated(config, "reference/schemas.md", content=schema_page()))
    return files
