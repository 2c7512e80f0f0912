"""Put a dataset on disk so that only whole files ever carry their final name."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset


def write_slice(dataset: Dataset, path: Path) -> None:
    """Write a DICOM file under a temporary name beside `path` and rename it (atomic on POSIX and Windows).

    Raises
    ------
    OSError
        If the disk does not take it; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        dataset.save_as(partial, enforce_file_format=True)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        # pydicom wraps the system's error into one without number, whose text is a traceback.
        cause: BaseException | None = error
        while cause and getattr(cause, "errno", None) is None:
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, OSError) and cause.errno is not None:
            raise OSError(cause.errno, cause.strerror, str(path)) from error
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
