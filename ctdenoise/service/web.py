"""``/healthz`` and ``/metrics`` over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ctdenoise.errors import InputError
from ctdenoise.service.settings import HttpSection

#: Names of metrics, what they mean, and whether they only grow.
_METRICS = {
    "series": ("Series in the spool, by state.", "gauge"),
    "oldest_seconds": ("Age of the oldest series, by state.", "gauge"),
    "events_total": ("Events since the start, by name.", "counter"),
    "associations": ("Open associations.", "gauge"),
    "free_bytes": ("Space on the disk of the spool.", "gauge"),
    "healthy": ("1 if /healthz says ok.", "gauge"),
}
#: Seconds after which the server looks whether it is to stop.
_POLL = 0.1
#: Values by metric, and by label where it has one.
Measured = Mapping[str, Mapping[str, float]]
_LABELS = {"series": "state", "oldest_seconds": "state", "events_total": "event"}


class Web:
    """The HTTP server, which answers in threads of its own as soon as it is made.

    Parameters
    ----------
    http
        Where it listens.
    problems
        Returns why the node is not healthy; nothing if it is.
    measure
        Returns the values of all metrics, by label; "" where a metric has no label.

    Raises
    ------
    InputError
        If the address cannot be listened on.
    """

    def __init__(self, http: HttpSection, problems: Callable[[], list[str]], measure: Callable[[], Measured]) -> None:
        self.problems, self.measure = problems, measure
        handler = type("Handler", (_Handler,), {"web": self})
        try:
            self._server = ThreadingHTTPServer((http.address, http.port), handler)
        except OSError as error:
            raise InputError(
                f"[http] address {http.address}, port {http.port}: cannot be listened on: {error.strerror or error}"
            ) from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(_POLL,), name="http", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    web: Web
    timeout = 10

    def do_GET(self) -> None:  # the name that the base class calls
        if self.path == "/healthz":
            problems = self.web.problems()
            body = json.dumps({"status": "failing" if problems else "ok", "problems": problems}) + "\n"
            self._answer(503 if problems else 200, "application/json", body)
        elif self.path == "/metrics":
            self._answer(200, "text/plain; version=0.0.4", prometheus_text(self.web.measure()))
        else:
            self._answer(404, "text/plain", "expected /healthz or /metrics\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""

    def _answer(self, status: int, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def prometheus_text(measured: Measured) -> str:
    """Return metrics in Prometheus' text format."""
    lines = []
    for name, (meaning, kind) in _METRICS.items():
        full = f"ctdenoise_node_{name}"
        lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}"]
        for label, value in sorted(measured.get(name, {}).items()):
            labels = f'{{{_LABELS[name]}="{label}"}}' if label else ""
            lines.append(f"{full}{labels} {value:g}" if value < 1e6 else f"{full}{labels} {int(value)}")
    return "\n".join(lines) + "\n"
