"""DICOM slices through an operation: reading, computing and writing overlap, with few slices in memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ctdenoise.errors import InputError
from ctdenoise.files import file_sha256
from ctdenoise.inference.journal import Journal
from ctdenoise.inference.manifest import SliceRecord
from ctdenoise.inference.operations import SeriesSample, SliceInfo, SliceOperation
from ctdenoise.inference.parallel import results_in_order
from ctdenoise.inference.slice_context import file_neighbours, frame_neighbours, needed_indices, read_windows
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
class ImageWindows:
    """An image to be written, and what the operation gets for each of its slices.

    Attributes
    ----------
    source
        A classic image, or an enhanced one with all its frames.
    windows
        For each slice ``2c + 1`` arrays ``[H, W]`` of HU: itself with its neighbours.
    neighbours_sha256
        Of the ``2c`` files beside the source; empty strings where the source itself stands in.
    """

    source: ReadSlice
    windows: Sequence[Sequence[NDArray[np.float32]]]
    neighbours_sha256: Sequence[str]


@dataclass(frozen=True)
class ProcessedImage:
    """An image, what the operation made of it, ``[H, W]`` or ``[frames, H, W]`` HU, and the seconds that took."""

    windows: ImageWindows
    hu: NDArray[np.float32]
    seconds: float


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

    def run(self, files: Sequence[SliceFile], series: Sequence[SliceFile]) -> Generator[InputError | None]:
        """Process files in the order of the series.

        Parameters
        ----------
        files
            To process.
        series
            All files of the series in order along the slice normal, in which an operation with context finds
            neighbours.

        Yields
        ------
        InputError or None
            None for each slice that was written, an error for each that cannot be processed.

        Raises
        ------
        OSError
            If a file cannot be written.
        """
        uids = {file.uid for file in files}
        neighbours = file_neighbours(series, self.operation.context)
        wanted = [index for index, file in enumerate(series) if file.uid in uids]
        to_read = [series[index] for index in needed_indices(neighbours, wanted)]
        batch_size = self.operation.batch_size
        writing: deque[Future[InputError | None]] = deque()
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            windows = read_windows(neighbours, wanted, read_ahead(reader, to_read, _BATCHES_AHEAD * batch_size))
            batches = iter(lambda: list(islice(windows, batch_size)), [])
            with closing(results_in_order(self._process, batches, self.operation.parallel_calls)) as processed:
                for images in processed:
                    writing.extend(writer.submit(self._write, image) for image in images)
                    while len(writing) > _BATCHES_AHEAD * batch_size:
                        yield writing.popleft().result()
            while writing:
                yield writing.popleft().result()

    def _images(self, window: Sequence[ReadSlice]) -> list[ImageWindows]:
        """Return the images of a file, read with its neighbours, that are to be written: itself, or its frames."""
        context = self.operation.context
        item = window[context]
        frames = item.image.hu
        windows = [[neighbour.image.hu for neighbour in window]]
        if frames.ndim == 3:
            windows = [[frames[index] for index in row] for row in frame_neighbours(item.image, context)]
        hashes = ["" if other is item else other.sha256 for other in (*window[:context], *window[context + 1 :])]
        images = [ImageWindows(item, windows, hashes)]
        if self.derivation.output.classic:
            classic = [ReadSlice(frame, item.sha256) for frame in classic_frames(item.image)]
            images = [ImageWindows(frame, [own], hashes) for frame, own in zip(classic, windows, strict=True)]
        return [image for image in images if self._uid(image.source.image) in self.names]

    def _process(self, batch: Sequence[Sequence[ReadSlice] | InputError]) -> list[ProcessedImage | InputError]:
        """Apply the operation to the images of some files; return them, or an error for what cannot be processed."""
        done: list[ProcessedImage | InputError] = [item for item in batch if isinstance(item, InputError)]
        images = [image for item in batch if not isinstance(item, InputError) for image in self._images(item)]
        for _, same_size in groupby(images, key=lambda item: item.source.image.hu.shape):
            group = list(same_size)
            began = time.perf_counter()
            try:
                result = self._apply(group)
            except InputError as error:  # e.g. not even one slice fits into memory
                done += [error.at(item.source.image.path) for item in group]
                continue
            seconds = (time.perf_counter() - began) / len(group)
            done += [ProcessedImage(item, hu, seconds) for item, hu in zip(group, result, strict=True)]
        return done

    def _apply(self, group: list[ImageWindows]) -> NDArray[np.float32]:
        """Return the results of images of one size, ``[images, H, W]`` or ``[images, frames, H, W]`` HU."""
        windows = [window for item in group for window in item.windows]
        infos = [info for item in group for info in slice_infos(item.source.image)]
        shape = windows[0][0].shape
        # Windows take 2c + 1 times the memory of their slices, so not those of all frames are made at once.
        step, each = len(windows), shape
        if context := self.operation.context:
            step, each = self.operation.batch_size, (2 * context + 1, *shape)
        results = []
        for first in range(0, len(windows), step):
            planes = [plane for window in windows[first : first + step] for plane in window]
            hu = planes[0] if len(planes) == 1 else np.stack(planes)
            results.append(self.operation(hu.reshape(-1, *each), infos[first : first + step]))
        result = results[0] if len(results) == 1 else np.concatenate(results)
        return result.reshape(len(group), *group[0].source.image.hu.shape)

    def _write(self, processed: ProcessedImage | InputError) -> InputError | None:
        if isinstance(processed, InputError):
            return processed
        item = processed.windows.source
        source, uid = item.image, self._uid(item.image)
        pixels = source.to_stored(processed.hu)
        try:
            derived = derive_slice(source, pixels, self.derivation)
            size = write_slice(derived, self.folder / self.names[uid])
        except OSError:
            raise
        except InputError as error:
            return error.at(error.path or source.path)
        except Exception as error:  # elements of the source that cannot be encoded
            return InputError(f"cannot be derived from: {type(error).__name__}", path=source.path)
        record = SliceRecord(
            file=self.names[uid],
            source_uid=uid,
            source_sha256=item.sha256,
            neighbours_sha256=list(processed.windows.neighbours_sha256),
            derived_uid=str(derived.SOPInstanceUID),
            derived_bytes=size,
            clipped=pixels.clipped,
            padding=int(np.count_nonzero(source.padding)),
            seconds=round(processed.seconds, 3),
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


def read_ahead(reader: ThreadPoolExecutor, files: Iterable[SliceFile], most: int) -> Iterator[ReadSlice | InputError]:
    """Yield decoded files in this order, while at most `most` of them are read in advance."""
    reading: deque[Future[ReadSlice | InputError]] = deque()
    remaining = iter(files)
    while True:
        reading.extend(reader.submit(_read, file.path) for file in islice(remaining, most - len(reading)))
        if not reading:
            return
        yield reading.popleft().result()


def read_sample(files: Sequence[SliceFile]) -> SeriesSample:
    """Decode some slices, evenly spread over a series; those that cannot be read are left out.

    Where none of them can be read, the first other one that can stands for all.
    """
    count = sum(file.frames for file in files)
    images: list[NDArray[np.float32]] = []
    infos: list[SliceInfo] = []
    spread = sample_indices(len(files))
    for index in (*spread, *sorted(set(range(len(files))) - set(spread))):
        if images and index not in spread:
            break
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
        image = read_slice(path)
        slice_infos(image)
        return ReadSlice(image, file_sha256(path))
    except InputError as error:
        return error
    except (ValueError, TypeError, OverflowError):  # text where a number should be; it may be a patient's
        return InputError(
            "expected numbers in PixelSpacing (0028,0030), SliceThickness (0018,0050) and XRayTubeCurrent (0018,1151), "
            "found other values",
            path=path,
        )
    except OSError as error:
        return InputError(f"cannot be read: {error.strerror or error}", path=path)
