"""What a process is told about its work, and what it says came of it; without torch, for processes that only listen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class WorkSettings:
    """How a process works; nothing of it belongs to the plan, as machines differ.

    Attributes
    ----------
    device, batch_size
        See :class:`~ctdenoise.inference.denoiser.Denoiser`.
    scratch
        Folder on a local disk; None for that of temporary files (``TMPDIR``).
    """

    device: str = "auto"
    batch_size: int | None = None
    scratch: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a series.

    Attributes
    ----------
    id
        Of the series.
    status
        ``complete``; ``incomplete``: some slices failed; ``failed``: no result; ``stopped``: asked to stop;
        ``busy``: another process works on it.
    slices, seconds
        Of a finished series.
    there
        Whether it was finished before.
    reason
        What failed.
    """

    id: str
    status: Literal["complete", "incomplete", "failed", "stopped", "busy"]
    slices: int = 0
    seconds: float = 0.0
    there: bool = False
    reason: str = ""
