"""Settings of the whole process, which only commands may make; the library changes none."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ctdenoise.errors import Help, InputError

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
#: Image sizes that torch.compile may compile a network for.
_COMPILED_SIZES = 64


def configure_torch() -> None:
    """Set up torch for a command: threads within the container's share of processors, kept memory, compiled sizes."""
    import torch
    import torch._dynamo.config

    torch.set_num_threads(max(1, min(torch.get_num_threads(), available_processors())))
    torch._dynamo.config.recompile_limit = _COMPILED_SIZES
    _keep_freed_memory()


def silence_pydicom() -> None:
    """Keep pydicom from warning of and logging values that break a rule, which may be a patient's."""
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    logging.getLogger("pydicom").propagate = False


def configure_worker() -> None:
    """Make the settings of a command in a process that a command has others start."""
    silence_pydicom()
    configure_torch()


def configure_container(work: Path) -> None:
    """Make the settings of a command in a container without home, named user or writable folder of temporary files.

    Parameters
    ----------
    work
        A folder that can be made and written; it is used where nothing else can.
    """
    os.environ.setdefault("USER", "ctdenoise")  # torch asks for a name, and a user without an entry in passwd has none
    if not os.access(os.environ.get("HOME") or "/nonexistent", os.W_OK):
        os.environ["HOME"] = str(work)
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        work.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(work)
    configure_torch()


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Say which extra is missing where a package cannot be imported.

    Raises
    ------
    InputError
        In place of ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        hint = f"pip install 'ctdenoise[{name}]'"
        raise InputError(
            f"expected the Python package {error.name}, found none", hint=hint, see=Help.MISSING_PACKAGE
        ) from error


def configure_node(partial: Path) -> None:
    """Make the settings of a process that receives images.

    Parameters
    ----------
    partial
        Folder of the spool: pynetdicom writes data sets there while they come in, so that memory holds none.
    """
    from pynetdicom import _config

    _config.STORE_RECV_CHUNKED_DATASET = True
    _config.STORE_SEND_CHUNKED_DATASET = True  # sends files as they are
    _config.LOG_HANDLER_LEVEL = "none"  # it logs each message; and errors with values of data sets
    logging.getLogger("pynetdicom").addHandler(logging.NullHandler())
    logging.getLogger("pynetdicom").propagate = False
    tempfile.tempdir = str(partial)


def available_processors() -> int:
    """Return how many processors this process may use: those it may run on, and its container's quota (cgroup v2)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CGROUP_QUOTA.read_text(encoding="ascii").split()
        return allowed if quota == "max" else max(1, min(allowed, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        return allowed


def _keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next slice.

    By default each large block goes back to the system and is mapped anew page by page: a third of a slice's time.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent in musl
        if mallopt:
            m_mmap_threshold, m_trim_threshold = -3, -1
            mallopt(m_mmap_threshold, 1 << 30)
            mallopt(m_trim_threshold, 2**31 - 1)
