"""Orthanc as a PACS for tests."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance.test_derived_series import tool

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

    def delete(self, path: str) -> None:
        request = urllib.request.Request(f"{self.url}/{path}", method="DELETE")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()

    def count(self) -> int:
        return int(json.loads(self.get("statistics"))["CountInstances"])

    def store(self, folder: Path) -> None:
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".json"]
        call = [tool("storescu", "dcmtk"), "127.0.0.1", str(self.dimse), *files]
        subprocess.run(call, check=True, capture_output=True)


@contextmanager
def running_pacs(folder: Path, **configured: Any) -> Iterator[Pacs]:
    """Run Orthanc on free ports of this machine; `configured` are further entries of its configuration."""
    folder.mkdir()
    program = tool("Orthanc", "orthanc orthanc-dicomweb")
    http, dimse = free_port(), free_port()
    configuration = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": http,
        "DicomPort": dimse,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [str(PLUGINS)],
        "DicomWeb": {"Enable": True},
        **configured,
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    process = subprocess.Popen([program, folder / "orthanc.json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
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
