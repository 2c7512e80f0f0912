"""A node as a process: killed in every state, without disk, under thousands of associations."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread

from tests.conformance.pacs import free_port
from tests.conformance.test_derived_series import tool
from tests.conftest import REPOSITORY, make_series
from tests.service.conftest import send
from tests.service.test_node import Pacs, assert_equal, by_run, model, pacs  # noqa: F401  # fixtures

pytestmark = pytest.mark.slow


class Served:
    """``ctdenoise serve`` in a process of its own."""

    def __init__(self, folder: Path, destination: int, model: Path, spool: Path | None = None) -> None:  # noqa: F811
        self.folder, self.port, self.http = folder, free_port(), free_port()
        self.spool = spool or folder / "spool"
        values = {"port": self.port, "allowed_ae_titles": ["SCANNER"], "quiet_s": 1}
        lines = ["[node]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
        lines += ["[spool]", f'folder = "{self.spool}"', "least_free_gb = 0", "[http]", f"port = {self.http}"]
        lines += ["[retry]", "first_s = 1", "longest_s = 1", "[work]", 'device = "cpu"']
        lines += [
            "[[destinations]]",
            'name = "pacs"',
            'host = "127.0.0.1"',
            f"port = {destination}",
            'ae_title = "PACS"',
        ]
        lines += ["[[rules]]", 'name = "all"', f'model = "{model}"', "strength = 1.0"]
        (folder / "node.toml").write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        call = [sys.executable, "-m", "ctdenoise", "serve", self.folder / "node.toml", "-v"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(call, env=environment, stderr=log)
        wait(lambda: self.healthy())

    def healthy(self) -> bool:
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            return bool(opener.open(f"http://127.0.0.1:{self.http}/healthz", timeout=5).status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert alive == []

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(120) == 0

    def there(self, pattern: str) -> bool:
        return any(self.spool.glob(pattern))


def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("nothing happened")


def storescu(port: int, folder: Path) -> None:
    call = [tool("storescu", "dcmtk"), "-aet", "SCANNER", "-aec", "CTDENOISE", "127.0.0.1", str(port), "+sd", folder]
    subprocess.run(call, check=True, capture_output=True)


@pytest.fixture
def served(tmp_path, pacs, model) -> Iterator[Served]:  # noqa: F811
    node = Served(tmp_path, pacs.port, model)
    yield node
    node.stop()


def test_killed_in_every_state_nothing_is_lost_or_doubled(served, pacs, model, tmp_path):  # noqa: F811
    source = make_series(tmp_path / "source", slices=60, size=(200, 200))
    images = [dcmread(path) for path in sorted(source.iterdir())]
    pacs.status = 0xA700
    served.start()
    assert set(send(served.port, images[:30])) == {0}
    served.kill()  # incoming
    assert len(list(served.spool.glob("incoming/*/in/*"))) == 30
    served.start()
    assert set(send(served.port, images[20:])) == {0}
    wait(lambda: served.there("working/*/out/*/0003.dcm"))
    served.kill()  # working
    assert served.there("working/*/in/*")
    served.start()
    wait(lambda: served.there("outgoing/*/delivery-pacs.json") and pacs.received > 0)
    served.kill()  # outgoing, after a failure
    pacs.status = 0
    served.start()
    wait(lambda: len(pacs.images) > 20)
    served.kill()  # in the middle of sending
    served.start()
    wait(lambda: served.there("sent/*/series.json"))
    assert_equal(pacs.images, by_run(source, tmp_path / "run", model))
    assert [path.name for path in served.spool.glob("failed/*")] == []
    served.stop()
    log = (served.folder / "log").read_text().splitlines()
    lines = [line for line in log if line.startswith("{")]
    # Python's resource tracker tells of killed processes in its own words.
    assert all(json.loads(line)["event"] for line in lines)
    for secret in ("SECRET", str(images[0].PatientID), str(images[0].SeriesInstanceUID)):
        assert secret not in "\n".join(lines)


def test_sigterm_finishes_the_slice_and_leaves_the_rest(served, pacs, tmp_path):  # noqa: F811
    source = make_series(tmp_path / "source", slices=80, size=(400, 400))
    served.start()
    storescu(served.port, source)
    wait(lambda: served.there("working/*/out/*/0001.dcm"))
    served.stop()
    assert served.there("ready/*/out/*/0001.dcm")
    assert not served.there("*/*/out/*/.partial-*")
    assert pacs.received == 0
    served.start()
    wait(lambda: served.there("sent/*/series.json"))
    assert len(pacs.images) == 80


def test_a_worker_that_is_killed_is_replaced(served, pacs, tmp_path):  # noqa: F811
    source = make_series(tmp_path / "source", slices=60, size=(200, 200))
    served.start()
    assert served.process
    storescu(served.port, source)
    wait(lambda: served.there("working/*/out/*/0001.dcm"))
    for child in psutil.Process(served.process.pid).children(recursive=True):
        child.kill()
    wait(lambda: served.there("sent/*/series.json"))
    assert len(pacs.images) == 60
    assert json.loads(next(served.spool.glob("sent/*/series.json")).read_text())["crashes"] == 1


def test_two_thousand_associations_leave_memory_and_descriptors_as_they_were(served, tmp_path):
    (path,) = make_series(tmp_path / "source", slices=1, size=(512, 512)).iterdir()
    image = dcmread(path)
    served.start()
    assert served.process
    node = psutil.Process(served.process.pid)
    for number in range(2001):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
        assert send(served.port, [image]) == [0]
        if number == 200:
            before = (node.memory_info().rss, node.num_fds(), node.num_threads())
    time.sleep(10)  # for the last connections to close
    after = (node.memory_info().rss, node.num_fds(), node.num_threads())
    print(f"memory {before[0] / 1e6:.0f} MB, then {after[0] / 1e6:.0f}; descriptors {before[1]}, then {after[1]}")
    assert after[0] - before[0] < 50e6
    assert after[1] <= before[1] + 3
    assert after[2] <= before[2] + 3


def test_a_disk_that_is_full(pacs, model, tmp_path):  # noqa: F811
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("a small file system cannot be mounted here")
    source = make_series(tmp_path / "source", slices=10, size=(512, 512))
    images = [dcmread(path) for path in sorted(source.iterdir())]
    node = Served(tmp_path, pacs.port, model, spool=disk / "spool")
    try:
        node.start()
        acknowledged = []
        for image in images:
            try:
                acknowledged += [image.SOPInstanceUID] * (send(node.port, [image]) == [0])
            except (AttributeError, AssertionError):  # the association was aborted
                continue
        assert 0 < len(acknowledged) < 10
        stored = {dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in node.spool.glob("*/*/in/*.dcm")}
        assert stored == set(acknowledged)
        wait(lambda: not node.there("partial/*"))
        node.stop()
        events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]  # no traceback
        assert any(event.get("reason") == "No space left on device" for event in events)
        assert not node.there("failed/*")
        assert len(list(node.spool.glob("*/*/in/*.dcm"))) == len(stored)
    finally:
        node.stop()
        subprocess.run(["umount", "-l", disk], check=False)
