"""Reading, network and writing at the same time, a bounded number of slices in memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.inference.manifest import Journal, SliceRecord
from ctdenoise.inference.process import Place, Process, Sample
from ctdenoise.inference.strength import some_of
from ctdenoise.io.dicom import CTSlice, Derivation, SliceFile, derive_slice, read_slice, write_slice
from ctdenoise.io.dicom.classic import classic_frames

#: Batches read ahead of the network, and slices waiting to be written behind it.
_AHEAD = 2


def process_slices(
    process: Process,
    files: Sequence[SliceFile],
    names: dict[str, str],
    folder: Path,
    derivation: Derivation,
    journal: Journal,
) -> Generator[InputError | None]:
    """Process slices into files.

    Parameters
    ----------
    process
        Its batch size decides how many slices are in memory.
    files
        What to process, in this order.
    names
        File name in `folder` for each source SOPInstanceUID, or what stands for it, that is to be written.
    folder
        Where the derived slices go.
    derivation
        How it is told and written.
    journal
        Gets a record for each slice once its file has its name.

    Yields
    ------
    InputError or None
        None for each slice that was written, and an error for each that cannot be processed.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    writing: deque[Future[InputError | None]] = deque()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        for batch in _read_ahead(reader, files, process.batch_size()):
            yield from (item for item in batch if isinstance(item, InputError))
            read = (item for item in batch if isinstance(item, CTSlice))
            frames = (f for item in read for f in (classic_frames(item) if derivation.classic else [item]))
            readable = [f for f in frames if derivation.pseudonym(f.dataset.SOPInstanceUID) in names]
            for _, same_size in groupby(readable, key=lambda item: item.hu.shape):
                group = list(same_size)
                began = time.perf_counter()
                hu = np.stack([item.hu for item in group])
                try:
                    places = [place for item in group for place in _places(item)]
                    clean = process.apply(hu.reshape(-1, *hu.shape[-2:]), places).reshape(hu.shape)
                except InputError as error:  # not even one slice fits into memory
                    yield from (InputError(error.problem, path=item.path, hint=error.hint) for item in group)
                    continue
                seconds = (time.perf_counter() - began) / len(group)
                for item, result in zip(group, clean, strict=True):
                    path = folder / names[derivation.pseudonym(str(item.dataset.SOPInstanceUID))]
                    writing.append(writer.submit(_write, item, result, path, derivation, seconds, journal))
            while len(writing) > _AHEAD * process.batch_size():
                yield writing.popleft().result()
        while writing:
            yield writing.popleft().result()


def _read_ahead(
    reader: ThreadPoolExecutor, files: Iterable[SliceFile], batch_size: int
) -> Iterator[list[CTSlice | InputError]]:
    """Yield batches of slices, a few read in advance."""
    reading: deque[Future[CTSlice | InputError]] = deque()
    batch: list[CTSlice | InputError] = []
    remaining = iter(files)
    while True:
        for file in remaining:
            reading.append(reader.submit(_read, file.path))
            if len(reading) >= _AHEAD * batch_size:
                break
        if not reading:
            break
        batch.append(reading.popleft().result())
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def read_sample(files: Sequence[SliceFile]) -> Sample:
    """Read some of a series' slices, without those that cannot be read."""
    read = [item for item in (_read(file.path) for file in some_of(files)) if isinstance(item, CTSlice)]
    images = [image for item in read for image in some_of(list(item.hu.reshape(-1, *item.hu.shape[-2:])))]
    return images, [place for item in read for place in some_of(_places(item))]


def _places(item: CTSlice) -> list[Place]:
    frames = len(item.hu) if item.hu.ndim == 3 else 1
    uid = item.dataset.SOPInstanceUID
    return [
        Place(f"{uid}/{frame}", item.pixel_mm, item.thickness_mm, item.tube_current_ma(frame))
        for frame in range(frames)
    ]


def _read(path: Path) -> CTSlice | InputError:
    try:
        return read_slice(path)
    except InputError as error:
        return error


def _write(
    source: CTSlice,
    hu: NDArray[np.float32],
    path: Path,
    derivation: Derivation,
    seconds: float,
    journal: Journal,
) -> InputError | None:
    pixels = source.to_stored(hu)
    try:
        derived = derive_slice(source, pixels, derivation)
        write_slice(derived, path)
    except OSError:
        raise
    except InputError as error:
        return error
    except Exception as error:  # elements of the source that cannot be encoded
        return InputError(f"cannot be derived from: {type(error).__name__}", path=source.path)
    record = SliceRecord(
        file=path.name,
        source_uid=derivation.pseudonym(str(source.dataset.SOPInstanceUID)),
        derived_uid=str(derived.SOPInstanceUID),
        clipped=pixels.clipped,
        padding=int(source.padding.sum()),
        seconds=round(seconds, 3),
        lossy=derived.get("LossyImageCompression") == "01",
    )
    journal.add(record)
    return None
