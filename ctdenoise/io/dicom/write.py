"""Write DICOM files atomically."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset

from ctdenoise.files import atomic_path


def write_slice(dataset: Dataset, path: Path) -> int:
    """Write a DICOM file (PS3.10 section 7.1) that is complete once it has its name.

    Parameters
    ----------
    dataset
        With file meta information.
    path
        Final name; its folder must exist.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    try:
        with atomic_path(path) as partial:
            dataset.save_as(partial, enforce_file_format=True)
            return partial.stat().st_size
    except OSError as error:
        # pydicom wraps the system's error into one without number, whose text is a traceback.
        cause: BaseException | None = error
        while cause and getattr(cause, "errno", None) is None:
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, OSError) and cause.errno is not None:
            raise OSError(cause.errno, cause.strerror, str(path)) from error
        raise
