"""Receive images: C-STORE of CT, C-ECHO; each image is on the disk before it is acknowledged."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.enhanced import ENHANCED_CT
from ctdenoise.io.dicom.read import NotDicomError, read_dataset
from ctdenoise.service.certificates import server_context
from ctdenoise.service.entry import Stored
from ctdenoise.service.events import Events
from ctdenoise.service.listener import Listener
from ctdenoise.service.settings import Settings
from ctdenoise.service.spool import Spool, series_key

# Status codes of C-STORE (PS3.4 table B.2-1; PS3.7 annex C).
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000

_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
_COMPRESSED = (
    *(RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1, JPEGLossless, HTJ2KLossless),
    *(JPEGLSNearLossless, JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit),
)
#: Bytes of one PDU; DCMTK's most.
_PDU = 131072
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
#: Seconds after which the server looks whether it is to stop.
_POLL = 0.1
_FULL = (errno.ENOSPC, errno.EDQUOT)


def accepted_syntaxes() -> list[UID]:
    """Return the transfer syntaxes that can be decoded here."""
    return [*_NATIVE, *(syntax for syntax in _COMPRESSED if get_decoder(syntax).is_available)]


class Receiver:
    """Receives images into a spool.

    pynetdicom must be configured to write data sets into files of the spool while they come in: see
    :func:`ctdenoise.cli.process.configure_node`.

    Parameters
    ----------
    settings, spool, events
        Of the node.
    handlers
        Further handlers of pynetdicom's events, with the abstract syntaxes that they are for.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        events: Events,
        *,
        handlers: Iterable[tuple[Any, Callable[..., Any], UID]] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._events = events
        self._clock = clock
        self._others = list(handlers)
        self._lock = threading.Lock()
        self._open: dict[Any, set[str]] = {}
        self._last: dict[str, float] = {}
        self._server: Listener | None = None

    def start(self) -> None:
        """Begin to listen.

        Raises
        ------
        InputError
            If the address cannot be listened on, or a certificate cannot be used.
        """
        node, tls = self._settings.node, self._settings.tls
        entity = AE(node.ae_title)
        entity.maximum_pdu_size = _PDU
        entity.maximum_associations = node.most_associations
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = node.timeout_s
        entity.require_called_aet = True
        if not node.any_ae_title:
            entity.require_calling_aet = list(node.allowed_ae_titles)
        entity.add_supported_context(Verification)
        for sop_class in (CTImageStorage, *sorted(ENHANCED_CT)):
            entity.add_supported_context(sop_class, accepted_syntaxes())
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_ABORTED, self._aborted),
            (evt.EVT_CONN_CLOSE, self._closed),
        ]
        for event, handler, sop_class in self._others:
            entity.add_supported_context(sop_class, scu_role=True, scp_role=True)
            handlers.append((event, handler))
        handshake = server_context(tls) if tls else None
        try:
            server = Listener(
                entity,
                (node.address, node.port),
                node.ae_title,
                entity.supported_contexts,
                evt_handlers=handlers,
                node=node,
                events=self._events,
                handshake=handshake,
            )
        except OSError as error:
            raise InputError(
                f"[node] address {node.address}, port {node.port}: cannot be listened on: {error.strerror or error}"
            ) from error
        entity._servers.append(server)  # where its shutdown looks for itself
        self._server = server
        threading.Thread(target=server.serve_forever, args=(_POLL,), name="listener", daemon=True).start()
        self._events.note("listening", address=node.address, port=self.port, ae_title=node.ae_title)

    def stop(self) -> None:
        """Stop listening; abort what is open."""
        if self._server:
            server, self._server = self._server, None
            server.shutdown()
            for association in server.active_associations:
                association.abort()

    @property
    def port(self) -> int:
        """The port that is listened on; 0 if none is."""
        return int(self._server.server_address[1]) if self._server else 0

    @property
    def associations(self) -> int:
        """How many associations are open."""
        with self._lock:
            return len(self._open)

    def is_quiet(self, key: str) -> bool:
        """Whether no association that sent images of a series is open, and none of it came for the time set."""
        with self._lock:
            if any(key in keys for keys in self._open.values()):
                return False
            # After a restart, the time begins when a series is first asked for.
            return self._clock() - self._last.setdefault(key, self._clock()) >= self._settings.node.quiet_s

    def forget(self, wanted: Collection[str]) -> None:
        """Forget when images came, but for these series."""
        with self._lock:
            self._last = {key: time for key, time in self._last.items() if key in wanted}

    def _accepted(self, event: evt.Event) -> None:
        with self._lock:
            self._open[event.assoc] = set()
        self._events.note("association_accepted", level=logging.DEBUG, **_peer(event))

    def _rejected(self, event: evt.Event) -> None:
        asked = event.assoc.requestor.primitive
        called = str(asked.called_ae_title).strip() if asked else ""
        self._events.note("association_rejected", level=logging.WARNING, called_ae_title=called, **_peer(event))

    def _aborted(self, event: evt.Event) -> None:
        self._events.note("association_aborted", level=logging.WARNING, **_peer(event))

    def _closed(self, event: evt.Event) -> None:
        with self._lock:
            self._close(event.assoc)

    def tidy(self) -> None:
        """Notice associations that died of an error, as on a full disk, for which there is no event."""
        with self._lock:
            for association in [a for a in self._open if not a.is_alive()]:
                self._close(association)

    def _close(self, association: Any) -> None:
        for key in self._open.pop(association, ()):
            self._last[key] = self._clock()
        if not self._open:  # what is there now was cut off
            self._spool.sweep(older_than=0)

    def _store(self, event: evt.Event) -> int:
        """Store an image; the status tells what became of it."""
        file = event.dataset_path
        try:
            return self._store_file(event, file)
        except OSError as error:
            self._events.note("store_failed", level=logging.ERROR, reason=error.strerror, **_peer(event))
            return OUT_OF_RESOURCES if error.errno in _FULL else PROCESSING_FAILURE
        finally:
            file.unlink(missing_ok=True)

    def _store_file(self, event: evt.Event, file: Path) -> int:
        if self._spool.free_bytes() < self._settings.spool.least_free_gb * 1e9:
            self._events.note("refused_disk_full", level=logging.ERROR, **_peer(event))
            return OUT_OF_RESOURCES
        try:
            header = read_dataset(file, stop_before_pixels=True, specific_tags=list(_IDENTITY))
            identity = [str(header.get(keyword) or "") for keyword in _IDENTITY]
        except (InputError, NotDicomError):
            identity = []
        if not all(identity) or not identity:
            self._events.note("refused_damaged", level=logging.WARNING, **_peer(event))
            return CANNOT_UNDERSTAND
        sop_class, instance, study, series = identity
        request = event.request
        assert isinstance(request, C_STORE)
        if (sop_class, instance) != (request.AffectedSOPClassUID, request.AffectedSOPInstanceUID):
            self._events.note("refused_other_class_or_instance", level=logging.WARNING, **_peer(event))
            return DOES_NOT_MATCH_CLASS
        calling = event.assoc.requestor.ae_title.strip()
        key = series_key(study, series)
        with self._lock:
            self._last[key] = self._clock()
            if event.assoc in self._open:
                self._open[event.assoc].add(key)
        stored = self._spool.add(file, key, instance, calling)
        if stored == Stored.OTHER:
            self._events.note("refused_duplicate_uid", level=logging.WARNING, series=key, **_peer(event))
            return DUPLICATE_INSTANCE
        self._events.note("stored" if stored == Stored.NEW else "stored_before", level=logging.DEBUG, series=key)
        return SUCCESS


def _peer(event: evt.Event) -> dict[str, str]:
    requestor = event.assoc.requestor
    return {"calling_ae_title": str(requestor.ae_title).strip(), "address": str(requestor.address or "")}
