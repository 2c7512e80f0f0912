"""Send by C-STORE, and ask for storage commitment (PS3.4 annexes B and J)."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)
from pynetdicom.status import code_to_category

from ctdenoise.service.receiver import OUT_OF_RESOURCES, SUCCESS
from ctdenoise.service.settings import Destination, NodeSection
from ctdenoise.service.transport import INTERRUPTED, Sent, describe

#: Action and event types of storage commitment (PS3.4 J.3.2, J.3.3).
_REQUEST = 1
_NO_SUCH_TRANSACTION = 0x0112  # PS3.7 C: no such SOP Instance
_PDU = 131072
#: Seconds after which pynetdicom's reactor has noticed that it is to pause; one turn takes 1 ms.
_REACTOR_TURN = 0.1


class Commitments:
    """Reports of storage commitment that were asked for, which come over any association."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, threading.Event] = {}
        self._reports: dict[str, Dataset] = {}

    def expect(self, transaction: str) -> None:
        """Announce a transaction."""
        with self._lock:
            self._waiting[transaction] = threading.Event()

    def report(self, event: evt.Event) -> tuple[int, None]:
        """Handle an N-EVENT-REPORT."""
        information = event.event_information
        transaction = str(information.get("TransactionUID", ""))
        with self._lock:
            if transaction not in self._waiting:
                return _NO_SUCH_TRANSACTION, None
            self._reports[transaction] = information
            self._waiting[transaction].set()
        return SUCCESS, None

    def wait(self, transaction: str, seconds: float) -> Dataset | None:
        """Return the report of a transaction; None if there was none in time."""
        self._waiting[transaction].wait(seconds)
        with self._lock:
            del self._waiting[transaction]
            return self._reports.pop(transaction, None)


class DimseTransport:
    """Sends to an application entity.

    Parameters
    ----------
    destination
        With host, port and AE title.
    node
        Own AE title and time limits.
    context
        TLS; None for plain connections.
    commitments
        Gets the reports that come over other associations.
    stop
        Asked after each file.
    """

    def __init__(
        self,
        destination: Destination,
        node: NodeSection,
        context: ssl.SSLContext | None,
        commitments: Commitments,
        stop: Callable[[], bool],
    ) -> None:
        self._destination = destination
        self._node = node
        self._context = context
        self._commitments = commitments
        self._stop = stop

    def send(self, files: Mapping[str, Path]) -> Sent:
        """Send files over one association and read the status of each."""
        entity = self._entity()
        problems: list[str] = []
        accepted: list[str] = []
        metas = {uid: read_file_meta_info(path) for uid, path in files.items()}
        for kind in sorted({(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) for meta in metas.values()}):
            entity.add_requested_context(*kind)
        association = self._associate(entity)
        if isinstance(association, str):
            return Sent(problem=association)
        reactor = _pause(association)
        try:
            for uid, path in files.items():
                if self._stop():
                    return Sent(accepted, INTERRUPTED)
                try:
                    status = association.send_c_store(path)
                except ValueError:
                    problems.append(f"{metas[uid].TransferSyntaxUID.name} is not accepted")
                    continue
                if "Status" not in status:
                    problems.append("the connection was lost")
                    break
                code = int(status.Status)
                if code_to_category(code) in ("Success", "Warning"):
                    accepted.append(uid)
                    continue
                problems.append(f"status 0x{code:04X}")
                if code & 0xFF00 == OUT_OF_RESOURCES:
                    break
        finally:
            association._reactor_checkpoint = reactor
            if association.is_established:
                association.release()
        return Sent(accepted, describe(problems))

    def commit(self, instances: Mapping[str, Path]) -> Sent:
        """Ask for storage commitment, and wait for the report."""
        if not self._destination.storage_commitment:
            return Sent()
        entity, transaction = self._entity(), generate_uid()
        entity.add_requested_context(StorageCommitmentPushModel)
        association = self._associate(entity, [(evt.EVT_N_EVENT_REPORT, self._commitments.report)])
        if isinstance(association, str):
            return Sent(problem=association)
        request = Dataset()
        request.TransactionUID = transaction
        request.ReferencedSOPSequence = [_reference(uid, path) for uid, path in instances.items()]
        self._commitments.expect(transaction)
        try:
            status, _ = association.send_n_action(
                request, _REQUEST, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            code = status.get("Status", -1)
            report = self._commitments.wait(transaction, self._node.timeout_s if code == SUCCESS else 0)
        except ValueError:
            self._commitments.wait(transaction, 0)
            return Sent(problem="storage commitment is not accepted")
        finally:
            if association.is_established:
                association.release()
        if code != SUCCESS:
            return Sent(problem=f"storage commitment: status 0x{code:04X}" if code >= 0 else "the connection was lost")
        if report is None:
            return Sent(problem=f"no report of storage commitment within {self._node.timeout_s:g} s")
        refused = [str(item.ReferencedSOPInstanceUID) for item in report.get("FailedSOPSequence") or ()]
        return Sent(problem=f"{len(refused)} images are not kept" if refused else "", refused=refused)

    def _entity(self) -> AE:
        entity = AE(self._node.ae_title)
        entity.maximum_pdu_size = _PDU
        timeout = self._node.timeout_s
        entity.connection_timeout = entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = timeout
        return entity

    def _associate(self, entity: AE, handlers: list[Any] | None = None) -> Association | str:
        """Return an association, or why there is none."""
        host, port, title = self._destination.host, self._destination.port, self._destination.ae_title
        assert host is not None
        assert port is not None
        assert title is not None
        tls = (self._context, host) if self._context else None
        try:
            association = entity.associate(host, port, ae_title=title, tls_args=tls, evt_handlers=handlers or [])
        except socket.gaierror:
            return f"{host}: expected a host that can be resolved, found none"
        return association if association.is_established else f"{host} port {port}: {_refusal(association)}"


class _Ignored(threading.Event):
    """An event that never changes."""

    def set(self) -> None:
        """Do nothing."""

    def clear(self) -> None:
        """Do nothing."""


def _pause(association: Association) -> threading.Event:
    """Keep pynetdicom's reactor from taking responses that a request waits for; return what lets it go on.

    pynetdicom 3.0.4 pauses it for each request, but may go on before it has paused: one response in some thousands is
    then taken for an unexpected message, and the request waits for its time limit.
    """
    reactor = association._reactor_checkpoint
    reactor.clear()
    time.sleep(_REACTOR_TURN)
    association._reactor_checkpoint = _Ignored()
    return reactor


def _reference(uid: str, path: Path) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = read_file_meta_info(path).MediaStorageSOPClassUID
    item.ReferencedSOPInstanceUID = uid
    return item


def _refusal(association: Association) -> str:
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = f": {answer.reason_str}" if answer else ""
        return f"the association was rejected{reason}; check ae_title of the destination and of the node"
    return "no connection, or it was closed at once; is a DICOM service running there, with the same TLS?"
