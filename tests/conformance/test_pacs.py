"""A PACS accepts the derived series beside its source: Orthanc over DIMSE and DICOMweb."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from pydicom import dcmread

from ctdenoise.io.dicom.deidentify import Deidentification
from tests.conformance.pacs import Pacs, running_pacs
from tests.conftest import make_series, run_series


@pytest.fixture
def pacs(tmp_path) -> Iterator[Pacs]:
    with running_pacs(tmp_path / "pacs") as server:
        yield server


@pytest.mark.parametrize("deidentification", [None, Deidentification()], ids=["plain", "deidentified"])
def test_both_series_are_there_and_come_back_as_they_were_sent(deidentification, pacs, tmp_path, halve):
    source = make_series(tmp_path / "source", slices=3)
    result = run_series(halve, source, tmp_path / "derived", deidentification=deidentification)
    pacs.store(source)
    assert pacs.count() == 3
    pacs.store(tmp_path / "derived")
    assert pacs.count() == 6
    first = dcmread(result.folder / "0001.dcm")
    series = json.loads(pacs.get(f"dicom-web/studies/{first.StudyInstanceUID}/series"))
    assert len(series) == (1 if deidentification else 2)  # a pseudonym's study is another
    for record in result.manifest.slices:
        sent = dcmread(result.folder / record.file)
        (found,) = json.loads(
            urllib.request.build_opener(urllib.request.ProxyHandler({}))
            .open(urllib.request.Request(f"{pacs.url}/tools/lookup", data=record.derived_uid.encode()))
            .read()
        )
        back = dcmread(io.BytesIO(pacs.get(f"instances/{found['ID']}/file", "*/*")))
        np.testing.assert_array_equal(back.pixel_array, sent.pixel_array)
        assert back.SourceImageSequence == sent.SourceImageSequence


def test_reused_uids_would_be_dropped_in_silence(pacs, tmp_path, halve):
    """Why new UIDs matter: storing another image under a source's UID reports success and does nothing."""
    source = make_series(tmp_path / "source", slices=1)
    pacs.store(source)
    image = dcmread(source / "IMG001")
    stored = image.pixel_array.copy()
    image.PixelData = (stored // 2).tobytes()
    (tmp_path / "reused").mkdir()
    image.save_as(tmp_path / "reused" / "IMG001")
    pacs.store(tmp_path / "reused")
    assert pacs.count() == 1
    (identifier,) = json.loads(pacs.get("instances"))
    back = dcmread(io.BytesIO(pacs.get(f"instances/{identifier}/file", "*/*")))
    np.testing.assert_array_equal(back.pixel_array, stored)


def test_deidentified_series_are_a_study_of_their_own(pacs, tmp_path, halve):
    source = make_series(tmp_path / "source", slices=2)
    run_series(halve, source, tmp_path / "derived", deidentification=Deidentification())
    pacs.store(source)
    pacs.store(tmp_path / "derived")
    assert json.loads(pacs.get("statistics"))["CountStudies"] == 2
