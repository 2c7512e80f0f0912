"""TLS contexts of a node: both sides show a certificate (PS3.15 annex B: BCP 195)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ctdenoise.errors import InputError

if TYPE_CHECKING:
    from ctdenoise.service.settings import TlsSection


def server_context(tls: TlsSection) -> ssl.SSLContext:
    """Return the context of the node as a server: who connects must show a certificate of the authorities.

    Raises
    ------
    InputError
        If a file cannot be used.
    """
    context = _loaded(tls, ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: TlsSection) -> ssl.SSLContext:
    """Return the context of the node as a client: certificate and host name of the other side are verified.

    Raises
    ------
    InputError
        If a file cannot be used.
    """
    return _loaded(tls, ssl.PROTOCOL_TLS_CLIENT)


def _loaded(tls: TlsSection, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise InputError(
            f"expected a certificate with its key ({tls.key.name}), PEM: {reason}", path=tls.certificate
        ) from error
    try:
        context.load_verify_locations(tls.authorities)
    except (OSError, ssl.SSLError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise InputError(f"expected certificates of authorities, PEM: {reason}", path=tls.authorities) from error
    return context
