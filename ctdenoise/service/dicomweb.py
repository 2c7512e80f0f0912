"""DICOMweb: retrieve series by WADO-RS, store files by STOW-RS (PS3.18)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydicom import Dataset, dcmread

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import write_slice
from ctdenoise.service.transport import Sent

if TYPE_CHECKING:
    from dicomweb_client.web import DICOMwebClient

PREFIX = "dicomweb:"
#: Files in one request.
_AT_ONCE = 8


def service_url(text: str) -> str:
    """Return the address of a service that is written as ``dicomweb:URL``.

    Raises
    ------
    InputError
        If it is none, or has a user name or password, which would be logged.
    """
    url = text.removeprefix(PREFIX)
    parts = urlsplit(url)
    if not text.startswith(PREFIX) or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"expected {PREFIX} and the http or https address of a service, found no such text",
            hint="for example dicomweb:http://localhost:8042/dicom-web",
        )
    if parts.username is not None or parts.password is not None:
        raise InputError("expected an address without user name and password", hint="give a token in the environment")
    return url.rstrip("/")


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
    client = DICOMwebClient(url, headers=headers, timeout=timeout_s)
    client.set_http_retry_params(retry=False)  # who calls decides when to try again
    return client


def retrieve_study(client: DICOMwebClient, study: str, series: str | None, folder: Path) -> int:
    """Retrieve the CT images of a study, as they are stored.

    Parameters
    ----------
    client
        From :func:`connect`.
    study
        Study Instance UID.
    series
        Series Instance UID; None for all CT series.
    folder
        Gets a file for each image, named by numbers.

    Returns
    -------
    int
        How many.

    Raises
    ------
    InputError
        If the service does not answer as it should, or there is none.
    OSError
        If a file cannot be written.
    """
    from requests import RequestException

    count = 0
    try:
        chosen = [series] if series else _ct_series(client, study)
        for uid in chosen:
            for image in client.iter_series(study, uid, media_types=(("application/dicom", "*"),)):
                count += 1
                write_slice(image, folder / f"{count:06d}.dcm")
    except RequestException as error:  # its text holds UIDs
        status = getattr(error.response, "status_code", None)
        found = f"HTTP status {status}" if status else f"no answer ({type(error).__name__})"
        raise InputError(
            f"{client.base_url}: expected the images of the study, found {found}",
            hint="check address, port and path, as /dicom-web, and that the service runs",
        ) from error
    except ValueError as error:  # of the client, on UIDs and answers
        raise InputError(
            f"{client.base_url}: expected UIDs and images, found others ({type(error).__name__})"
        ) from error
    if not count:
        raise InputError(
            f"{client.base_url}: expected CT images in the study, found none", hint="check the Study Instance UID"
        )
    return count


def _ct_series(client: DICOMwebClient, study: str) -> list[str]:
    found = client.search_for_series(study, search_filters={"Modality": "CT"}, get_remaining=True)
    return sorted({str(item["0020000E"]["Value"][0]) for item in found})


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
