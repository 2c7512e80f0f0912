"""Damage DICOM files and read them: ``python -m tests.io.dicom.mutation SEED COUNT SCRATCH FILE…``."""

from __future__ import annotations

import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover, read_slice

#: A file a mutation takes longer with hangs.
SECONDS = 5


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, cut, double or overwrite some bytes, mostly in the header, where they do most harm."""
    damaged = bytearray(content)
    reach = len(damaged) if rng.random() < 0.2 else min(len(damaged), 4096)
    for _ in range(rng.integers(1, 12)):
        at = int(rng.integers(0, reach))
        kind = rng.integers(0, 5)
        if kind == 0:
            damaged[at] = rng.integers(0, 256)
        elif kind == 1:
            damaged[at : at + 4] = bytes(rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"]))
        elif kind == 2:
            damaged[at : at + int(rng.integers(1, 64))] = b""
        elif kind == 3:
            damaged[at:at] = damaged[at : at + int(rng.integers(1, 64))]
        else:
            damaged = damaged[: max(at, 1)] if rng.random() < 0.3 else damaged
        reach = min(reach, len(damaged))
        if reach < 2:
            break
    return bytes(damaged)


def survive(path: Path) -> None:
    """Do with a file what a run does before the network; only our own errors may come out."""
    for series in discover(path).series:
        for file in series.slices:
            with suppress(InputError):
                image = read_slice(file.path)
                image.to_stored(image.hu)


def peak_kib() -> int:
    """Peak resident memory; getrusage would count that of the process this one was forked from."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main(seed: int, count: int, scratch: Path, files: list[str]) -> None:
    """Mutate and read; print the peak memory; leave the file that crashed or hung."""

    def hang(*_: object) -> None:
        raise TimeoutError

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, hang)
    rng = np.random.default_rng(seed)
    contents = [Path(file).read_bytes() for file in files]
    for number in range(count):
        scratch.write_bytes(mutate(contents[number % len(contents)], rng))
        signal.alarm(SECONDS)
        survive(scratch)
        signal.alarm(0)
    print(peak_kib())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
