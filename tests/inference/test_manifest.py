from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from ctdenoise.inference.manifest import Manifest, read_manifest
from tests.conftest import REPOSITORY, make_series, run_series

SCHEMA_FILE = REPOSITORY / "docs" / "manifest.schema.json"


def test_the_documented_schema_is_the_one_that_is_written():
    """After a change: python -c "import json; from ctdenoise.inference.manifest import Manifest; ..." > docs/…"""
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == Manifest.model_json_schema(by_alias=True)


def test_a_manifest_validates_against_the_documented_schema(tmp_path, halve):
    jsonschema = pytest.importorskip("jsonschema")
    result = run_series(halve, make_series(tmp_path / "in"), tmp_path / "out", strength=0.5)
    written = json.loads((result.folder / "manifest.json").read_text())
    jsonschema.validate(written, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    assert written == result.manifest.document()


def test_a_manifest_survives_writing_and_reading(tmp_path, halve):
    result = run_series(halve, make_series(tmp_path / "in"), tmp_path / "out", strength=0.5)
    assert read_manifest(result.folder / "manifest.json") == result.manifest


@pytest.mark.parametrize("content", ["", "{}", '{"schema": "ctdenoise-manifest-1"}', "[1]"])
def test_what_is_no_manifest_of_this_version_is_as_none(content, tmp_path):
    (tmp_path / "manifest.json").write_text(content)
    assert read_manifest(tmp_path / "manifest.json") is None


def test_an_unknown_entry_is_refused():
    with pytest.raises(ValidationError):
        Manifest.model_validate({"schema": "ctdenoise-manifest-2", "surprise": 1})
