"""The entry for files: audit a derived series against its source and write the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ctdenoise.audit.document import Audit
from ctdenoise.audit.page import PAGE, write_page
from ctdenoise.audit.series_audit import DERIVED, SOURCE, audit_series, series_noise
from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import AlignedStacks, align
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.files import write_whole
from ctdenoise.io.dicom.archive import opened

AUDIT = "audit.json"


def audit(
    source: Path, derived: Path, output: Path, *, on_start: Callable[[int], Callable[[], None] | None] | None = None
) -> Audit:
    """Audit a derived series and write ``audit.json`` and ``audit.html``.

    Parameters
    ----------
    source, derived
        A DICOM series, a volume or an array of HU each; slices are matched by source images, position or order.
    output
        Folder for the results.
    on_start
        Called with the number of slices; what it returns is called after each.

    Raises
    ------
    InputError
        If the series cannot be read or matched, or the folder cannot be written.
    """
    with ExitStack() as archives:
        paths = {SOURCE: source, DERIVED: derived}
        roots = {name: archives.enter_context(opened(path)).root for name, path in paths.items()}
        aligned = align({name: open_stack(root) for name, root in roots.items()})
        return audit_aligned(aligned, output, on_start=on_start)


def audit_aligned(
    aligned: AlignedStacks, output: Path, *, on_start: Callable[[int], Callable[[], None] | None] | None = None
) -> Audit:
    """Audit stacks named ``source`` and ``derived`` as :func:`audit` does."""
    advance = on_start(len(aligned)) if on_start else None
    noise = series_noise(aligned)
    result = audit_series(aligned, noise, advance=advance)
    document = json.dumps(result.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_whole(output / AUDIT, document + "\n")
        write_page(result, aligned, noise, output / PAGE)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", path=error.filename or output) from error
    return result
