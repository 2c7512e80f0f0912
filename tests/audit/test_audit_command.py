"""``ctdenoise audit`` from outside."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from ctdenoise.audit.document import Audit
from ctdenoise.cli import app
from tests.conftest import REPOSITORY, make_series, run_series

runner = CliRunner()


@pytest.fixture
def arrays(tmp_path, noisy):
    source, same, blurred = (tmp_path / f"{name}.npy" for name in ("source", "same", "blurred"))
    np.save(source, np.stack(noisy))
    np.save(same, np.stack(noisy))
    np.save(blurred, np.stack([gaussian_filter(one, 1.0) for one in noisy]))
    return source, same, blurred


def run(*arguments):
    return runner.invoke(app, ["audit", *map(str, arguments)])


def test_a_series_that_passes(arrays, tmp_path):
    source, same, _ = arrays
    done = run(source, same, "-o", tmp_path / "out", "--strict")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Pass: ")
    audit = Audit.model_validate_json((tmp_path / "out" / "audit.json").read_bytes())
    assert (audit.verdict, audit.reasons, len(audit.slices)) == ("pass", [], 3)
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "Pass: in 3 slices" in page
    assert page.count("<figure>") == 4
    assert audit.noise.derived_std_hu == audit.noise.std_hu > 0
    assert "noise of the derived series in the same tissue, HU" in page
    assert not re.search(r"(src|href)=.http", page)


def test_a_failure_is_an_error_only_if_strict(arrays, tmp_path):
    source, _, blurred = arrays
    done = run(source, blurred, "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["verdict"] == "fail"
    assert "blurred" in {reason["kind"] for reason in document["reasons"]}
    noise = document["noise"]
    assert 0 < noise["derived_std_hu"] < 0.7 * noise["std_hu"]
    assert run(source, blurred, "-o", tmp_path / "out", "--strict").exit_code == 1


def test_slices_without_enough_body_are_not_judged(tmp_path):
    series = make_series(tmp_path / "series")
    done = run(series, series, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Caution: no slice could be audited")
    assert "SECRET" not in (tmp_path / "out" / "audit.html").read_text()


def test_series_of_different_length_are_refused(arrays, tmp_path):
    source, *_ = arrays
    other = tmp_path / "other.npy"
    np.save(other, np.zeros((2, 256, 256), np.float32))
    with pytest.raises(Exception, match="expected 3 slices as in the source, found 2"):
        runner.invoke(app, ["audit", str(source), str(other), "-o", str(tmp_path / "out")], catch_exceptions=False)


def test_of_several_series_those_are_audited_of_which_one_was_derived_from_the_other(tmp_path, halve):
    study = tmp_path / "study"
    source = make_series(study / "source")
    make_series(study / "other", slices=2)
    run_series(halve, source, study / "weak", strength=0.1)
    done = run(study, study / "weak", "-o", tmp_path / "audit", "--json")
    assert done.exit_code == 0, done.output
    assert run(study, study, "-o", tmp_path / "both", "--json").output == done.output
    refused = run(study / "other", study, "-o", tmp_path / "none").exception
    assert f"expected one series that was derived from one of {study / 'other'}, found none" in str(refused)
    run_series(halve, source, study / "strong", strength=0.9)
    refused = run(source, study, "-o", tmp_path / "several").exception
    assert f"{study / 'weak'}" in str(refused)
    assert f"{study / 'strong'}" in str(refused)


def test_source_and_derived_series_that_are_swapped_are_refused(tmp_path, halve):
    series = make_series(tmp_path / "series")
    result = run_series(halve, series, tmp_path / "out", strength=0.1).folder
    done = run(result, series, "-o", tmp_path / "audit")
    assert str(done.exception) == (
        f"{result}: expected the source first, found a series that was derived from the second; swap the two"
    )
    assert not (tmp_path / "audit").exists()
    # Two results of one source are not derived from one another.
    other = run_series(halve, series, tmp_path / "other", strength=0.2).folder
    assert run(result, other, "-o", tmp_path / "audit").exit_code == 0


def test_the_schema_in_the_documentation_is_current():
    written = json.loads((REPOSITORY / "docs" / "audit.schema.json").read_text())
    assert written == Audit.model_json_schema(by_alias=True)


def test_a_phantom_needs_the_model_of_the_result(arrays, tmp_path):
    source, same, _ = arrays
    with pytest.raises(Exception, match="expected a result of ctdenoise run with its manifest"):
        runner.invoke(
            app, ["audit", str(source), str(same), "-o", str(tmp_path / "out"), "--phantom"], catch_exceptions=False
        )
