"""``ctdenoise serve``."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer


def serve(
    settings: Annotated[
        Path | None, typer.Argument(metavar="SETTINGS", help="Settings of the node, a TOML file; see --example.")
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a settings file with all settings.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Check settings and what they refer to, and exit.")] = False,
    once: Annotated[
        bool,
        typer.Option("--once", help="Process and send what is in the spool, receive nothing; exit 1 if some is left."),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Have all series that failed processed and sent again, and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log every image and association, too.")] = False,
) -> None:
    """Serve as a DICOM node: receive CT series, denoise them, send the derived series.

    The log is JSON lines on standard error, without patient data.
    """
    if sum((example, check, once, retry)) > 1:
        raise typer.BadParameter("expected one of --example, --check, --once and --retry, found several")
    from ctdenoise.service.settings import EXAMPLE, check_environment, load_settings

    if example:
        print(EXAMPLE.read_text(encoding="utf-8"), end="")
        return
    if settings is None:
        raise typer.BadParameter("expected SETTINGS, found none; ctdenoise serve --example prints them")
    loaded = load_settings(settings)
    check_environment(loaded)
    if check:
        print(f"{settings}: {len(loaded.rules)} rules, {len(loaded.destinations)} destinations")
        return
    from ctdenoise.cli.process import configure_node, configure_worker, needs_extra
    from ctdenoise.cohort.stopping import StopOnSignals

    with needs_extra("node"):
        from ctdenoise.service.node import Node
    from ctdenoise.service.spool import Spool

    if retry:
        print(f"{Spool(loaded.spool.folder).retry_failed()} series queued again; the node processes and sends them")
        return
    with StopOnSignals() as stop, _logged(verbose):
        node = Node(loaded, configure_worker)
        configure_node(node.spool.partial)
        if once:
            raise typer.Exit(0 if node.drain(stop) else 1)
        node.serve(stop)


@contextmanager
def _logged(verbose: bool) -> Iterator[None]:
    """Log events to standard error."""
    from ctdenoise.service.events import LOG, JsonLines, log_thread_error

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    LOG.addHandler(handler)
    LOG.propagate = False
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    threading.excepthook = log_thread_error
    try:
        yield
    finally:
        threading.excepthook = threading.__excepthook__
        LOG.removeHandler(handler)
        LOG.propagate = True
        LOG.setLevel(logging.NOTSET)
