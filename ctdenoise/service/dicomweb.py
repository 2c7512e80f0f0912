"""DICOMweb: retrieve series by WADO-RS, store files by STOW-RS (PS3.18)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import Dataset, dcmread

from ctdenoise.errors import InputError
from ctdenoise.service.transport import Sent

if TYPE_CHECKING:
    from dicomweb_client.web import DICOMwebClient

#: Files in one request.
_AT_ONCE = 8


def connect(url: str, token_variable: str | None, timeout_s: float) -> DICOMwebClient:
    """Return a client of a service.

    Parameters
    ----------
    url
        Of the service, ``http`` or ``https``, without user name and password.
    token_variable
        Environment variable with a bearer token; None if the service asks for none.
    timeout_s
        Seconds without an answer after which a request fails.

    Raises
    ------
    InputError
        If the variable is absent.
    """
    from dicomweb_client.web import DICOMwebClient

    headers = {}
    if token_variable:
        token = os.environ.get(token_variable)
        if not token:
            raise InputError(f"expected a token in the environment variable {token_variable}, found none")
        headers["Authorization"] = f"Bearer {token}"
    return DICOMwebClient(url, headers=headers, timeout=timeout_s)


class StowTransport:
    """Sends to a DICOMweb service; see :class:`~ctdenoise.service.transport.Transport`.

    Parameters
    ----------
    client
        From :func:`connect`.
    """

    def __init__(self, client: DICOMwebClient) -> None:
        self._client = client

    def send(self, files: Mapping[str, Path]) -> Sent:
        """Store files, some in each request."""
        accepted: list[str] = []
        uids = list(files)
        for begin in range(0, len(uids), _AT_ONCE):
            batch = uids[begin : begin + _AT_ONCE]
            answer, problem = self._store([dcmread(files[uid]) for uid in batch])
            failed = {str(item.ReferencedSOPInstanceUID) for item in answer.get("FailedSOPSequence") or ()}
            stored = {str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or ()}
            accepted += [uid for uid in batch if uid in stored and uid not in failed]
            if problem or len(accepted) < begin + len(batch):
                return Sent(accepted, problem or _reasons(answer))
        return Sent(accepted)

    def commit(self, instances: Mapping[str, Path]) -> Sent:
        """Do nothing: the answer to a store says what the service has."""
        return Sent()

    def _store(self, datasets: list[Dataset]) -> tuple[Dataset, str]:
        from requests import RequestException

        try:
            return self._client.store_instances(datasets), ""
        except RequestException as error:  # its text holds the address
            status = getattr(error.response, "status_code", None)
            return Dataset(), f"HTTP status {status}" if status else f"no answer ({type(error).__name__})"
        except (ValueError, OSError) as error:
            return Dataset(), f"no usable answer ({type(error).__name__})"


def _reasons(answer: Dataset) -> str:
    """Return the failure reasons of an answer (PS3.18 table I.2-1)."""
    reasons = {f"0x{int(item.get('FailureReason', 0)):04X}" for item in answer.get("FailedSOPSequence") or ()}
    return f"images were not stored: reason {', '.join(sorted(reasons))}" if reasons else "images were not stored"
