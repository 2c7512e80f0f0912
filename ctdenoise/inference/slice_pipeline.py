"""DICOM slices through an operation: reading, computing and writing overlap, with few slices in memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ctdenoise.errors import InputError
from ctdenoise.files import file_sha256
from ctdenoise.inference.journal import Journal
from ctdenoise.inference.manifest import SliceRecord
from ctdenoise.inference.operations import SeriesSample, SliceInfo, SliceOperation
from ctdenoise.inference.strength import sample_indices
from ctdenoise.io.dicom import CTSlice, Derivation, SliceFile, derive_slice, read_slice, write_slice
from ctdenoise.io.dicom.classic import classic_frames
from ctdenoise.io.transfer_syntax import TransferSyntax

#: Batches that are read before the operation needs them, and that wait to be written after it.
_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class ReadSlice:
    """A decoded image and the SHA-256 of its file."""

    image: CTSlice
    sha256: str


@dataclass(frozen=True)
class SlicePipeline:
    """Processes the files of one series into derived files.

    Attributes
    ----------
    operation
        Applied to batches of slices of equal size.
    derivation
        How derived objects are identified and written.
    folder
        Of the derived files.
    names
        File name for each image to be written, by the source's SOP Instance UID or its pseudonym.
    journal
        Gets a record of each slice once its file has its final name.
    """

    operation: SliceOperation
    derivation: Derivation
    folder: Path
    names: Mapping[str, str]
    journal: Journal

    def run(self, files: Sequence[SliceFile]) -> Generator[InputError | None]:
        """Process files in this order.

        Yields
        ------
        InputError or None
            None for each slice that was written, an error for each that cannot be processed.

        Raises
        ------
        OSError
            If a file cannot be written.
        """
        writing: deque[Future[InputError | None]] = deque()
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            for batch in read_ahead(reader, files, self.operation.batch_size):
                yield from (item for item in batch if isinstance(item, InputError))
                images = [image for item in batch if isinstance(item, ReadSlice) for image in self._wanted(item)]
                for _, same_size in groupby(images, key=lambda item: item.image.hu.shape):
                    yield from self._process(list(same_size), writer, writing)
                while len(writing) > _BATCHES_AHEAD * self.operation.batch_size:
                    yield writing.popleft().result()
            while writing:
                yield writing.popleft().result()

    def _wanted(self, item: ReadSlice) -> list[ReadSlice]:
        """Return the images of a file that are to be written: itself, or its frames as classic images."""
        frames = classic_frames(item.image) if self.derivation.output.classic else [item.image]
        return [ReadSlice(frame, item.sha256) for frame in frames if self._uid(frame) in self.names]

    def _process(
        self, group: list[ReadSlice], writer: ThreadPoolExecutor, writing: deque[Future[InputError | None]]
    ) -> Iterator[InputError]:
        """Apply the operation to images of one size, and have the results written."""
        began = time.perf_counter()
        hu = np.stack([item.image.hu for item in group])
        infos = [info for item in group for info in slice_infos(item.image)]
        try:
            result = self.operation(hu.reshape(-1, *hu.shape[-2:]), infos).reshape(hu.shape)
        except InputError as error:  # e.g. not even one slice fits into memory
            yield from (InputError(error.problem, path=item.image.path, hint=error.hint) for item in group)
            return
        seconds = (time.perf_counter() - began) / len(group)
        for item, values in zip(group, result, strict=True):
            writing.append(writer.submit(self._write, item, values, seconds))

    def _write(self, item: ReadSlice, hu: NDArray[np.float32], seconds: float) -> InputError | None:
        source, uid = item.image, self._uid(item.image)
        pixels = source.to_stored(hu)
        try:
            derived = derive_slice(source, pixels, self.derivation)
            write_slice(derived, self.folder / self.names[uid])
        except OSError:
            raise
        except InputError as error:
            return InputError(error.problem, path=error.path or source.path, hint=error.hint)
        except Exception as error:  # elements of the source that cannot be encoded
            return InputError(f"cannot be derived from: {type(error).__name__}", path=source.path)
        record = SliceRecord(
            file=self.names[uid],
            source_uid=uid,
            source_sha256=item.sha256,
            derived_uid=str(derived.SOPInstanceUID),
            clipped=pixels.clipped,
            padding=int(np.count_nonzero(source.padding)),
            seconds=round(seconds, 3),
            lossy=derived.get("LossyImageCompression") == "01",
            transfer_syntax=str(derived.file_meta.TransferSyntaxUID),
            syntax_replaced=self._is_replaced(source, derived),
        )
        self.journal.add(record)
        return None

    def _is_replaced(self, source: CTSlice, derived: Dataset) -> bool:
        """Whether the source's transfer syntax was asked for and another had to be written."""
        kept = derived.file_meta.TransferSyntaxUID == source.dataset.file_meta.TransferSyntaxUID
        return self.derivation.output.transfer_syntax == TransferSyntax.SOURCE and not kept

    def _uid(self, image: CTSlice) -> str:
        return self.derivation.pseudonym(str(image.dataset.SOPInstanceUID))


def read_ahead(
    reader: ThreadPoolExecutor, files: Iterable[SliceFile], batch_size: int
) -> Iterator[list[ReadSlice | InputError]]:
    """Yield batches of slices, some of which are read in advance."""
    reading: deque[Future[ReadSlice | InputError]] = deque()
    batch: list[ReadSlice | InputError] = []
    remaining = iter(files)
    while True:
        for file in remaining:
            reading.append(reader.submit(_read, file.path))
            if len(reading) >= _BATCHES_AHEAD * batch_size:
                break
        if not reading:
            break
        batch.append(reading.popleft().result())
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def read_sample(files: Sequence[SliceFile]) -> SeriesSample:
    """Decode some slices, evenly spread over a series; those that cannot be read are left out."""
    count = sum(file.frames for file in files)
    images: list[NDArray[np.float32]] = []
    infos: list[SliceInfo] = []
    for index in sample_indices(len(files)):
        item = _read(files[index].path)
        if isinstance(item, ReadSlice):
            frames = item.image.hu.reshape(-1, *item.image.hu.shape[-2:])
            described = slice_infos(item.image)
            chosen = sample_indices(len(frames))
            images += [frames[frame] for frame in chosen]
            infos += [described[frame] for frame in chosen]
    return SeriesSample(images, infos, count)


def slice_infos(image: CTSlice) -> list[SliceInfo]:
    """Describe the frames of an image; one for a classic image."""
    frames = len(image.hu) if image.hu.ndim == 3 else 1
    uid = image.dataset.SOPInstanceUID
    return [
        SliceInfo(f"{uid}/{frame}", image.pixel_spacing_mm, image.slice_thickness_mm, image.tube_current_ma(frame))
        for frame in range(frames)
    ]


def _read(path: Path) -> ReadSlice | InputError:
    try:
        return ReadSlice(read_slice(path), file_sha256(path))
    except InputError as error:
        return error
    except OSError as error:
        return InputError(f"cannot be read: {error.strerror or error}", path=path)
