"""The wish that a process stops after the slice it is at."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

#: Exit code of a process that was asked to stop and has more to do: try again (EX_TEMPFAIL of sysexits.h).
EXIT_STOPPED = 75


class StopOnSignals:
    """Within its context SIGTERM and SIGINT only note that they came; the second SIGINT interrupts at once.

    Call it to ask whether one came.
    """

    TERMINATE = signal.SIGTERM

    def __init__(self) -> None:
        self.received: int | None = None
        self._handlers: dict[int, signal._HANDLER] = {}

    def __call__(self) -> bool:
        """Whether the process should stop."""
        return self.received is not None

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
