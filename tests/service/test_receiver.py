"""Receiving: what is acknowledged is on the disk, and nobody is let in who should not be."""

from __future__ import annotations

import json
import logging
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, MRImageStorage
from pynetdicom import AE, _config

from ctdenoise.service.events import JsonLines
from ctdenoise.service.receiver import accepted_syntaxes
from tests.conformance.test_derived_series import tool
from tests.conftest import make_series
from tests.service.conftest import send


@pytest.fixture
def images(tmp_path) -> list[Path]:
    return sorted(make_series(tmp_path / "source").iterdir())


def wait(condition) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened")


def test_acknowledged_images_are_on_the_disk(images, start):
    node = start()
    assert node.send(images) == [0, 0, 0]
    assert len(node.files()) == 3
    sent = {dcmread(p).SOPInstanceUID: dcmread(p).pixel_array for p in images}
    for file in node.files():
        stored = dcmread(file)
        np.testing.assert_array_equal(stored.pixel_array, sent[stored.SOPInstanceUID])
    assert list(node.spool.partial.iterdir()) == []


def test_duplicates(images, start):
    node = start()
    assert node.send([*images, *images]) == [0] * 6
    changed = dcmread(images[0])
    changed.PixelData = bytes(len(changed.PixelData))
    before = [file.read_bytes() for file in node.files()]
    assert node.send([changed]) == [0x0111]
    assert [file.read_bytes() for file in node.files()] == before


def test_a_series_is_complete_when_it_is_quiet_and_the_association_closed(images, start):
    node = start()
    node.send(images)
    wait(lambda: node.receiver.associations == 0)
    key = node.spool.entries("incoming")[0].key
    assert not node.receiver.is_quiet(key)
    node.clock.now += 6
    assert node.receiver.is_quiet(key)


def test_an_open_association_keeps_its_series_open(images, start):
    node = start()
    entity = AE("SCANNER")
    entity.add_requested_context(CTImageStorage)
    association = entity.associate("127.0.0.1", node.receiver.port, ae_title="CTDENOISE")
    association.send_c_store(dcmread(images[0]))
    key = node.spool.entries("incoming")[0].key
    node.clock.now += 1000
    assert not node.receiver.is_quiet(key)
    association.abort()
    wait(lambda: node.receiver.associations == 0)
    node.clock.now += 6
    assert node.receiver.is_quiet(key)


def test_associations_that_died_without_a_word_hold_nothing(images, start):
    node = start()
    node.send(images)
    wait(lambda: node.receiver.associations == 0)
    key = node.spool.entries("incoming")[0].key
    node.receiver._open[threading.Thread()] = {key}  # never started, so as dead as one that died
    (node.spool.partial / "cut-off").write_bytes(b"half")
    node.clock.now += 6
    assert not node.receiver.is_quiet(key)
    node.receiver.tidy()
    assert node.receiver.associations == 0
    assert list(node.spool.partial.iterdir()) == []
    node.clock.now += 6
    assert node.receiver.is_quiet(key)


def test_what_is_accepted(start):
    node = start()
    entity = AE("SCANNER")
    for sop_class in (CTImageStorage, EnhancedCTImageStorage, MRImageStorage):
        for syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.100"):
            entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", node.receiver.port, ae_title="CTDENOISE")
    accepted = {(c.abstract_syntax, c.transfer_syntax[0]) for c in association.accepted_contexts}
    association.release()
    both = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80")
    assert accepted == {(c, s) for c in (CTImageStorage, EnhancedCTImageStorage) for s in both}
    assert "1.2.840.10008.1.2.4.70" in accepted_syntaxes()


def test_another_image_than_announced_is_refused(images, start, monkeypatch):
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # sends the file as it is
    node = start()
    other = dcmread(images[0])
    other.SOPInstanceUID += ".1"
    other.save_as(images[0])
    entity = AE("SCANNER")
    entity.add_requested_context(CTImageStorage)
    association = entity.associate("127.0.0.1", node.receiver.port, ae_title="CTDENOISE")
    assert association.send_c_store(images[0]).Status == 0xA900
    association.release()
    assert node.files() == []


def test_images_without_a_series_are_refused(images, start):
    node = start()
    nameless = dcmread(images[0])
    del nameless.SeriesInstanceUID
    assert node.send([nameless]) == [0xC000]
    assert node.files() == []


def test_a_full_disk_refuses(images, start):
    node = start(spool={"least_free_gb": 1e9})
    assert node.send(images) == [0xA700] * 3
    assert node.files() == []
    assert node.events.counts()["refused_disk_full"] == 3


def test_wrong_titles_are_rejected(images, start):
    node = start()
    for calling, called in (("INTRUDER", "CTDENOISE"), ("SCANNER", "ANOTHER")):
        entity = AE(calling)
        entity.add_requested_context(CTImageStorage)
        association = entity.associate("127.0.0.1", node.receiver.port, ae_title=called)
        assert association.is_rejected
    assert start(node={"allowed_ae_titles": ["*"]}).send(images, "ANYBODY") == [0, 0, 0]


def test_foreign_machines_are_not_let_in(start):
    node = start(node={"allowed_addresses": ["10.0.0.0/8"]})
    with socket.create_connection(("127.0.0.1", node.receiver.port), timeout=5) as probe:
        assert probe.recv(1) == b""
    assert node.events.counts()["refused_address"] == 1
    assert node.receiver.associations == 0


def threads() -> int:
    return sum("AcceptorThread" in thread.name for thread in threading.enumerate())


def test_probes_hold_nothing(images, start):
    """Connections that say nothing, rubbish or half a PDU end after the timeout, and others are served meanwhile."""
    node = start(node={"timeout_s": 0.5})
    beginnings = [b"", b"GET / HTTP/1.0\r\n\r\n", b"\x01\x00", b"\x01\x00\x00\x00\xff\xff" + b"x" * 100]
    probes = []
    for beginning in beginnings:
        probes.append(socket.create_connection(("127.0.0.1", node.receiver.port)))
        probes[-1].sendall(beginning)
    assert node.send(images) == [0, 0, 0]
    wait(lambda: threads() == 0)
    for probe in probes:
        probe.close()


def test_too_many_associations_are_rejected(start):
    node = start(node={"most_associations": 2})
    entity = AE("SCANNER")
    entity.add_requested_context(CTImageStorage)
    opened = [entity.associate("127.0.0.1", node.receiver.port, ae_title="CTDENOISE") for _ in range(3)]
    assert [association.is_established for association in opened] == [True, True, False]
    for association in opened[:2]:
        association.release()


class Raw:
    """A sender that speaks bytes, to stop in the middle of them."""

    def __init__(self, port: int, image: Path) -> None:
        recorded = Recorder(image)
        self.pdus = recorded.pdus
        self.socket = socket.create_connection(("127.0.0.1", port))

    def begin(self) -> None:
        self.socket.sendall(self.pdus[0])
        kind, length = struct.unpack(">BxI", self.socket.recv(6, socket.MSG_WAITALL))
        assert kind == 2
        self.socket.recv(length, socket.MSG_WAITALL)


class Recorder:
    """What storescu sends, PDU by PDU, to a server that says yes."""

    def __init__(self, image: Path) -> None:
        from pynetdicom import evt

        self.pdus: list[bytes] = []
        entity = AE("PACS")
        entity.add_supported_context(CTImageStorage)
        # Before the association ends: what is recorded is up to the end of the image.
        handlers = [(evt.EVT_DATA_RECV, lambda event: self.pdus.append(bytes(event.data)))]
        handlers.append((evt.EVT_C_STORE, lambda event: 0))
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert server is not None
        send(server.server_address[1], [dcmread(image)], called="CTDENOISE")
        server.shutdown()
        self.pdus.pop()  # the release


def test_an_association_that_breaks_off_in_a_pdu_leaves_nothing(images, start):
    node = start()
    raw = Raw(node.receiver.port, images[0])
    raw.begin()
    data = b"".join(raw.pdus[1:])
    raw.socket.sendall(data[: len(data) * 2 // 3])
    wait(lambda: node.receiver.associations == 1)
    raw.socket.close()
    wait(lambda: node.receiver.associations == 0)
    assert node.files() == []
    assert list(node.spool.partial.iterdir()) == []
    assert node.send(images) == [0, 0, 0]


def test_a_slow_sender_is_waited_for(images, start):
    node = start(node={"timeout_s": 2})
    raw = Raw(node.receiver.port, images[0])
    raw.begin()
    data = b"".join(raw.pdus[1:])
    for offset in range(0, len(data), len(data) // 8 + 1):
        raw.socket.sendall(data[offset : offset + len(data) // 8 + 1])
        time.sleep(0.1)
    assert raw.socket.recv(1) == b"\x04"
    assert len(node.files()) == 1
    raw.socket.close()


def test_dcmtk_and_ten_senders_at_once(start, tmp_path):
    node = start(node={"allowed_ae_titles": ["*"]})
    program = tool("storescu", "dcmtk")
    folders = [make_series(tmp_path / f"s{number}", slices=5) for number in range(10)]
    call = [program, "-aec", "CTDENOISE", "127.0.0.1", str(node.receiver.port), "+sd"]
    sending = [subprocess.Popen([*call, folder], stderr=subprocess.PIPE) for folder in folders]
    assert [process.wait() for process in sending] == [0] * 10
    for process in sending:
        process.communicate()
    assert len(node.files()) == 50
    assert len(node.spool.entries("incoming")) == 10
    echo = [tool("echoscu", "dcmtk"), "-aec", "CTDENOISE", "127.0.0.1", str(node.receiver.port)]
    assert subprocess.run(echo, check=False).returncode == 0


def test_the_log_is_json_without_patient_data(images, start, caplog):
    caplog.set_level(logging.DEBUG)
    node = start()
    broken = dcmread(images[0])
    del broken.StudyInstanceUID
    node.send([*images, broken])
    lines = [JsonLines().format(record) for record in caplog.records if record.name == "ctdenoise.node"]
    events = [json.loads(line)["event"] for line in lines]
    assert "stored" in events
    assert "refused_damaged" in events
    image = dcmread(images[0])
    for secret in ("SECRET", str(image.PatientID), image.SOPInstanceUID, image.SeriesInstanceUID):
        assert secret not in "\n".join(lines)
