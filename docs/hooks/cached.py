"""Pages that take a program a while to make: kept until anything they depend on changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache"


def made(name: str, command: Sequence[str | Path], folder_option: str, sources: Sequence[Path]) -> Path:
    """Return the folder that a Python program fills; run it if that is not there yet, in place of an earlier one.

    Parameters
    ----------
    name
        Of the folder, before the hash.
    command
        Script and arguments.
    folder_option
        Argument that comes before the folder; empty for none.
    sources
        Files that the result depends on, beside the package ``ctdenoise`` and the variable ``CTDENOISE_TEST_DATA``.

    Raises
    ------
    RuntimeError
        If the program fails.
    """
    digest = hashlib.sha256(os.environ.get("CTDENOISE_TEST_DATA", "").encode())
    for path in (*sources, *sorted((REPOSITORY / "ctdenoise").rglob("*.py"))):
        digest.update(path.read_bytes())
    folder = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory(dir=folder.parent) as half:
        target = Path(half) / "made"
        target.mkdir()
        call = [sys.executable, "-W", "ignore", *map(str, command), *filter(None, [folder_option]), str(target)]
        done = subprocess.run(call, cwd=work, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")
        for earlier in CACHE.glob(f"{name}-*"):
            shutil.rmtree(earlier)
        target.rename(folder)
    return folder
