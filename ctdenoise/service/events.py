"""What happens in a node: each event is counted by its name and logged as a line of JSON, without patient data."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter

LOG = logging.getLogger("ctdenoise.node")


class Events:
    """Counts and logs events; may be called from any thread.

    Fields are keys of series, AE titles, addresses, numbers and sentences of this program; never values of images.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def note(self, event: str, *, level: int = logging.INFO, **fields: object) -> None:
        """Count an event and log it.

        Parameters
        ----------
        event
            Its name: lower case, with underscores.
        level
            Of the log line; DEBUG for what happens with every image.
        fields
            What else is known; JSON types.
        """
        with self._lock:
            self._counts[event] += 1
        LOG.log(level, event, extra={"fields": fields})

    def counts(self) -> dict[str, int]:
        """Return how often each event happened since the node was started."""
        with self._lock:
            return dict(self._counts)


def log_thread_error(error: threading.ExceptHookArgs) -> None:
    """Log what ended a thread as an event instead of a traceback, whose text may hold values of images.

    pynetdicom lets errors of the disk end the thread of an association, and its peer sees the connection close.
    """
    reason = error.exc_value.strerror if isinstance(error.exc_value, OSError) else None
    fields = {"error": error.exc_type.__name__, **({"reason": reason} if reason else {})}
    LOG.error("thread_ended_by_error", extra={"fields": fields})


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time (UTC), level, event, fields."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line = {"time": stamp, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps({**line, **getattr(record, "fields", {})}, ensure_ascii=False, default=str)
