"""``--from`` and ``--to`` of ``ctdenoise run``: DICOMweb services in place of folders."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctdenoise.cli.process import needs_extra

if TYPE_CHECKING:
    from dicomweb_client.web import DICOMwebClient

    from ctdenoise.inference import RunResult
    from ctdenoise.inference.results import Progress

#: Environment variables with bearer tokens; one for each service, so that none gets the other's.
FROM_TOKEN, TO_TOKEN = "CTDENOISE_FROM_TOKEN", "CTDENOISE_TO_TOKEN"
#: Seconds without an answer after which a request fails.
_TIMEOUT = 60.0
_PANEL = "DICOMweb"

FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="dicomweb:URL",
        help=f"In place of INPUT: retrieve --study from this service. Bearer token: {FROM_TOKEN}.",
        rich_help_panel=_PANEL,
    ),
]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="dicomweb:URL",
        help=f"Store the derived images in this service, too (STOW-RS). Bearer token: {TO_TOKEN}.",
        rich_help_panel=_PANEL,
    ),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", help="With --from: its StudyInstanceUID.", rich_help_panel=_PANEL)
]


@dataclass(frozen=True)
class Stored:
    """What a service was given."""

    url: str
    images: int
    problem: str


@contextmanager
def input_folder(
    source: Path | None, service: str | None, study: str | None, series: str | None, progress: Progress
) -> Iterator[Path]:
    """Yield INPUT, or a temporary folder with what was retrieved.

    Raises
    ------
    InputError
        If the service does not answer as it should.
    """
    if service is None:
        assert source is not None
        yield source
        return
    from ctdenoise.service.dicomweb import retrieve_study

    client = _client(service, FROM_TOKEN)
    with tempfile.TemporaryDirectory(prefix="ctdenoise-") as folder:
        uid = series if series and "." in series else None
        count = retrieve_study(client, str(study), uid, Path(folder))
        progress.message(f"retrieved {count} images")
        yield Path(folder)


def check_usage(source: Path | None, service: str | None, study: str | None, to: str | None) -> None:
    """Check that there is one input, before anything is loaded.

    Raises
    ------
    typer.BadParameter
        If not.
    InputError
        If an address cannot be used.
    """
    if (source is None) == (service is None):
        raise typer.BadParameter(f"expected INPUT or --from, found {'neither' if source is None else 'both'}")
    if (service is None) != (study is None):
        raise typer.BadParameter(
            f"expected --from and --study together, found {'--study' if study else '--from'} alone"
        )
    for address, variable in ((service, FROM_TOKEN), (to, TO_TOKEN)):
        if address is not None:
            _client(address, variable)


def store_results(outcome: RunResult, service: str) -> Stored:
    """Store all derived images of a run, those of an earlier run included."""
    from ctdenoise.service.dicomweb import StowTransport, service_url

    files = {
        record.derived_uid: result.folder / record.file
        for result in outcome.results
        if result.manifest.source.kind == "dicom"
        for record in result.manifest.slices
    }
    sent = StowTransport(_client(service, TO_TOKEN)).send(files)
    return Stored(service_url(service), len(sent.accepted), sent.problem)


def _client(service: str, token_variable: str) -> DICOMwebClient:
    with needs_extra("node"):
        from ctdenoise.service.dicomweb import connect, service_url

        token = token_variable if os.environ.get(token_variable) else None
        return connect(service_url(service), token, _TIMEOUT)
