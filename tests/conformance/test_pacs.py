"""A PACS accepts the derived series beside its source: Orthanc over DIMSE and DICOMweb."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ctdenoise.io.dicom.deidentify import Deidentification
from tests.conformance.test_derived_series import tool
from tests.conftest import make_series, run_series

PLUGINS = Path("/usr/share/orthanc/plugins")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Pacs:
    def __init__(self, http: int, dimse: int) -> None:
        self.url, self.dimse = f"http://127.0.0.1:{http}", dimse

    def get(self, path: str, accept: str = "application/json") -> bytes:
        request = urllib.request.Request(f"{self.url}/{path}", headers={"Accept": accept})
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()

    def count(self) -> int:
        return int(json.loads(self.get("statistics"))["CountInstances"])

    def store(self, folder: Path) -> None:
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".json"]
        call = [tool("storescu", "dcmtk"), "127.0.0.1", str(self.dimse), *files]
        subprocess.run(call, check=True, capture_output=True)


@pytest.fixture
def pacs(tmp_path) -> Iterator[Pacs]:
    program = tool("Orthanc", "orthanc orthanc-dicomweb")
    http, dimse = free_port(), free_port()
    configuration = {
        "StorageDirectory": str(tmp_path / "pacs"),
        "IndexDirectory": str(tmp_path / "pacs"),
        "HttpPort": http,
        "DicomPort": dimse,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [str(PLUGINS)],
        "DicomWeb": {"Enable": True},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    process = subprocess.Popen([program, tmp_path / "orthanc.json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    server = Pacs(http, dimse)
    try:
        for _ in range(100):
            try:
                server.count()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.communicate()


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
