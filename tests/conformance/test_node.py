"""The node between peers that others wrote: DCMTK sends, Orthanc receives, forwards and commits."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from ctdenoise.cli import main
from tests.conformance.pacs import Pacs, free_port, running_pacs
from tests.conformance.test_derived_series import tool
from tests.conftest import make_series
from tests.service.conftest import Clock, make_settings, node_process  # noqa: F401  # a fixture
from tests.service.test_node import Running, WorkerHere, by_run, model, node_module  # noqa: F401  # a fixture

Begin = Callable[..., Running]


@pytest.fixture
def begin(tmp_path, monkeypatch, model) -> Iterator[Begin]:  # noqa: F811
    monkeypatch.setattr(node_module, "Worker", WorkerHere)
    running: list[Running] = []

    def start(pacs: Pacs, **sections: Any) -> Running:
        destination = {"name": "pacs", "host": "127.0.0.1", "port": pacs.dimse, "ae_title": "ORTHANC"}
        sections["destinations"] = [{**destination, **sections.pop("destination", {})}]
        sections["node"] = {"allowed_ae_titles": ["STORESCU", "ORTHANC"], **sections.get("node", {})}
        sections["rules"] = [{"name": "all", "model": str(model), "strength": 1.0}]
        running.append(Running(make_settings(tmp_path, **sections), Clock()))
        return running[-1]

    yield start
    for each in running:
        each.end()


def storescu(port: int, folder: Path, *options: str | Path) -> int:
    call = [tool("storescu", "dcmtk"), "-aec", "CTDENOISE", *options, "127.0.0.1", str(port), "+sd", folder]
    return subprocess.run(call, capture_output=True, check=False).returncode


def until(node: Running, condition: Callable[[], bool]) -> None:
    for _ in range(200):
        node.turn(6)
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing happened: {node.states()}")


def stored(pacs: Pacs) -> dict[str, np.ndarray]:
    images = [dcmread(io.BytesIO(pacs.get(f"instances/{i}/file", "*/*"))) for i in json.loads(pacs.get("instances"))]
    return {str(image.SOPInstanceUID): image.pixel_array for image in images}


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for uid, values in expected.items():
        np.testing.assert_array_equal(found[uid], values)


def test_storescu_node_orthanc(begin, model, tmp_path):  # noqa: F811
    source = make_series(tmp_path / "source", slices=4)
    with running_pacs(tmp_path / "pacs") as pacs:
        node = begin(pacs)
        assert storescu(node.node.receiver.port, source) == 0
        until(node, lambda: node.states() == {"sent": 1})
        assert_equal(stored(pacs), by_run(source, tmp_path / "run", model))


@pytest.mark.slow
def test_orthanc_forwards_everything_and_there_is_no_loop(begin, model, tmp_path):  # noqa: F811
    source = make_series(tmp_path / "source", slices=3)
    (tmp_path / "forward.lua").write_text("function OnStoredInstance(id, tags, meta) SendToModality(id, 'node') end\n")
    port = free_port()
    forwarding = {
        "LuaScripts": [str(tmp_path / "forward.lua")],
        "DicomModalities": {"node": ["CTDENOISE", "127.0.0.1", port]},
    }
    with running_pacs(tmp_path / "pacs", **forwarding) as pacs:
        node = begin(pacs, node={"port": port})
        pacs.store(source)
        # Orthanc forwards image by image, so some are late and reopen their series.
        until(node, lambda: node.states() == {"sent": 2} and len(list(node.node.spool.folder.glob("sent/*/in/*"))) == 6)
        for _ in range(10):
            node.turn(6)
            time.sleep(0.1)
        assert node.states() == {"sent": 2}
        assert pacs.count() == 6
        notes = sorted(entry.record().left_alone for entry in node.node.spool.entries("sent"))
        assert notes == ["", "made by ctdenoise"]


@pytest.mark.slow
def test_orthanc_commits_to_storage(begin, tmp_path):
    port = free_port()
    with running_pacs(tmp_path / "pacs", DicomModalities={"node": ["CTDENOISE", "127.0.0.1", port]}) as pacs:
        node = begin(pacs, node={"port": port, "timeout_s": 20}, destination={"storage_commitment": True})
        assert storescu(node.node.receiver.port, make_series(tmp_path / "source")) == 0
        until(node, lambda: node.states() == {"sent": 1})
        assert node.node.events.counts()["sent"] == 1
        for identifier in json.loads(pacs.get("instances")):
            pacs.delete(f"instances/{identifier}")
        # Images that are gone are sent again.
        (entry,) = node.node.spool.entries("sent")
        delivery = entry.delivery("pacs")
        entry.write_delivery("pacs", type(delivery)(sent=delivery.sent))
        node.node.spool.move(entry, "outgoing")
        node.turn()
        assert node.node.spool.entries("outgoing")[0].delivery("pacs").problem == "3 images are not kept"
        until(node, lambda: node.states() == {"sent": 1})
        assert pacs.count() == 3


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Path:
    """An authority, and certificates of node and peer; one of a stranger."""
    folder, program = tmp_path_factory.mktemp("tls"), tool("openssl", "openssl")

    def openssl(*arguments: str) -> None:
        subprocess.run([program, *arguments], cwd=folder, check=True, capture_output=True)

    for authority in ("ca", "other"):
        subject = ["-subj", f"/CN={authority}", "-days", "2"]
        openssl(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{authority}.key",
            "-out",
            f"{authority}.crt",
            *subject,
        )
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    for name, authority in (("node", "ca"), ("peer", "ca"), ("stranger", "other")):
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        signed = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", "san", *signed)
    return folder


def tls_section(folder: Path) -> dict[str, str]:
    return {
        "certificate": str(folder / "node.crt"),
        "key": str(folder / "node.key"),
        "authorities": str(folder / "ca.crt"),
    }


def identity(folder: Path, name: str) -> list[str | Path]:
    return ["+tls", folder / f"{name}.key", folder / f"{name}.crt", "+cf", folder / "ca.crt"]


@contextmanager
def storescp(folder: Path, *options: str | Path) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    process = subprocess.Popen([tool("storescp", "dcmtk"), "-aet", "ORTHANC", "-od", folder, *options, str(port)])
    try:
        time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_tls_both_ways(begin, certificates, tmp_path):
    source = make_series(tmp_path / "source")
    with storescp(tmp_path / "received", *identity(certificates, "peer")) as port:
        pacs = Pacs(0, port)
        node = begin(pacs, tls=tls_section(certificates), destination={"tls": True})
        listening = node.node.receiver.port
        assert storescu(listening, source) != 0
        assert storescu(listening, source, "+tla", "+cf", certificates / "ca.crt") != 0  # no certificate
        assert storescu(listening, source, *identity(certificates, "stranger")) != 0
        assert node.states() == {}
        assert storescu(listening, source, *identity(certificates, "peer")) == 0
        until(node, lambda: node.states() == {"sent": 1})
        assert len(list((tmp_path / "received").iterdir())) == 3
    with storescp(tmp_path / "impostor", *identity(certificates, "stranger"), "-ic") as port:
        other = begin(
            Pacs(0, port),
            tls=tls_section(certificates),
            destination={"tls": True},
            spool={"folder": str(tmp_path / "s2")},
        )
        assert storescu(other.node.receiver.port, source, *identity(certificates, "peer")) == 0
        other.turn(6)
        assert other.states() == {"outgoing": 1}
        assert list((tmp_path / "impostor").iterdir()) == []


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ctdenoise", "run", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_run_from_and_to_dicomweb(model, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    source = make_series(tmp_path / "source", slices=10)
    study = dcmread(next(source.iterdir())).StudyInstanceUID
    with running_pacs(tmp_path / "pacs") as pacs:
        pacs.store(source)
        service = f"dicomweb:{pacs.url}/dicom-web"
        options = ["-o", tmp_path / "out", "--model", model, "--strength", 1, "--device", "cpu"]
        assert run(monkeypatch, "--from", service, "--study", study, "--to", service, *options, "--json") == 0
        assert json.loads(capsys.readouterr().out)["stored"]["images"] == 10
        expected = by_run(source, tmp_path / "run", model)
        found = stored(pacs)
        assert len(found) == 20
        assert_equal({uid: found[uid] for uid in expected}, expected)
        # The derived series is there as well now; one series is asked for.
        series = dcmread(next(source.iterdir())).SeriesInstanceUID
        assert run(monkeypatch, "--from", service, "--study", study, "--series", series, *options) == 0
        assert run(monkeypatch, "--from", service, "--study", "1.2.3", *options) == 1
        assert "found none" in capsys.readouterr().err
