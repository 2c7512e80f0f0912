"""The server socket of a node: who may connect, TLS handshakes that hold up nobody else."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from pynetdicom.transport import ThreadedAssociationServer

from ctdenoise.service.events import Events
from ctdenoise.service.settings import NodeSection

#: Connections for each association that may be open: those that have not said what they want count, too.
_CONNECTIONS_PER_ASSOCIATION = 2


class Listener(ThreadedAssociationServer):
    """Server of associations that refuses foreign machines, and limits how long a connection may be silent.

    Parameters
    ----------
    arguments
        Those of :class:`pynetdicom.transport.AssociationServer`.
    node
        Who may connect.
    events
        Gets refusals.
    handshake
        TLS; None for plain connections. The server of pynetdicom would wait for each handshake before it accepts the
        next connection.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, *arguments: Any, node: NodeSection, events: Events, handshake: ssl.SSLContext | None, **options: Any
    ) -> None:
        self._node = node
        self._events = events
        self._handshake = handshake
        super().__init__(*arguments, **options)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a connection is let in."""
        address = str(client_address[0])
        if not self._node.allows(address):
            self._events.note("refused_address", address=address)
            return False
        if len(self.active_associations) >= _CONNECTIONS_PER_ASSOCIATION * self._node.most_associations:
            self._events.note("refused_too_many_connections", address=address)
            return False
        return True

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Begin an association, in a thread of its own."""
        assert isinstance(request, socket.socket)
        request.settimeout(self._node.timeout_s)
        if self._handshake:
            try:
                request = self._handshake.wrap_socket(request, server_side=True)
            except OSError as error:
                reason = error.reason if isinstance(error, ssl.SSLError) else type(error).__name__
                self._events.note("refused_tls", address=client_address[0], reason=reason)
                self.shutdown_request(request)
                return
        super().finish_request(request, client_address)
