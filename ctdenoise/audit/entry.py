"""The entry for files: audit a derived series against its source and write the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ctdenoise.audit.document import Audit, Phantom
from ctdenoise.audit.page import PAGE, write_page
from ctdenoise.audit.recommendation import chosen_indices, recommend
from ctdenoise.audit.result_phantom import result_phantom
from ctdenoise.audit.series_audit import DERIVED, SOURCE, audit_series, series_noise
from ctdenoise.audit.slice_audit import SeriesNoise
from ctdenoise.audit.wording import paragraph
from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import AlignedStacks, align, is_derived, source_and_derived
from ctdenoise.evaluation.stacks import Stack, open_stacks
from ctdenoise.files import write_whole
from ctdenoise.inference.file_run import manifest_path
from ctdenoise.inference.manifest import MANIFEST, read_manifest
from ctdenoise.io.dicom.archive import opened
from ctdenoise.io.dicom.discover import input_tree
from ctdenoise.io.folders import require_outside

AUDIT = "audit.json"


def audit(
    source: Path,
    derived: Path,
    output: Path,
    *,
    phantom: bool = False,
    on_start: Callable[[int], Callable[[], None] | None] | None = None,
) -> Audit:
    """Audit a derived series and write ``audit.json`` and ``audit.html``.

    Parameters
    ----------
    source, derived
        A DICOM series, a volume or an array of HU each; slices are matched by source images, position or order. Of
        folders with several series, those are taken of which one was derived from the other.
    output
        Folder for the results.
    phantom
        Also measure a virtual phantom in the scan; of results of ctdenoise.
    on_start
        Called with the number of slices; what it returns is called after each.

    Raises
    ------
    InputError
        If the series cannot be read or matched, or are swapped, or the folder is inside one of them or cannot be
        written.
    """
    require_outside(output, map(input_tree, (source, derived)))
    with ExitStack() as archives:
        paths = {SOURCE: source, DERIVED: derived}
        roots = {name: archives.enter_context(opened(path)).root for name, path in paths.items()}
        found = [open_stacks(roots[name]) for name in (SOURCE, DERIVED)]
        stacks = dict(zip((SOURCE, DERIVED), source_and_derived(*found), strict=True))
        if is_derived(stacks[SOURCE], stacks[DERIVED]):
            raise InputError(
                "expected the source first, found a series that was derived from the second",
                path=source,
                hint="swap the two",
            )
        aligned = align(stacks)
        manifest = read_manifest(_manifest_path(stacks[DERIVED]))
        strength = manifest.strength if manifest else None
        measured = result_phantom(aligned, manifest) if phantom else None
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror or error}", path=output) from error
        return audit_aligned(
            aligned,
            document=output / AUDIT,
            page=output / PAGE,
            strength=strength,
            phantom=measured,
            on_start=on_start,
        )


def audit_aligned(
    aligned: AlignedStacks,
    *,
    document: Path,
    page: Path,
    strength: float | None,
    phantom: Phantom | None = None,
    on_start: Callable[[int], Callable[[], None] | None] | None = None,
) -> Audit:
    """Audit stacks named ``source`` and ``derived``.

    Parameters
    ----------
    aligned
        The stacks.
    document, page
        Files to write.
    strength
        That the derived series was made with; None where it is unknown.
    phantom
        Of this result, if it was measured.
    on_start
        As in :func:`audit`.

    Raises
    ------
    InputError
        If a slice cannot be read, or a file cannot be written.
    """
    advance = on_start(len(aligned)) if on_start else None
    noise = series_noise(aligned)
    result = audit_series(aligned, noise, advance=advance).model_copy(update={"phantom": phantom})
    result = _with_recommendation(result, aligned, noise, strength)
    text = json.dumps(result.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        write_whole(document, text + "\n")
        write_page(result, aligned, noise, page)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", path=error.filename or document) from error
    return result


def _with_recommendation(result: Audit, aligned: AlignedStacks, noise: SeriesNoise, strength: float | None) -> Audit:
    """Return the audit with the highest strength that passes, and with its paragraph."""
    if result.slices and strength != 0:
        indices = {aligned.label(i): i for i in range(len(aligned))}
        labels = [result.slices[i].label for i in chosen_indices(result.slices)]
        images = [(label, aligned.read(indices[label])) for label in labels]
        slices = [(label, image[SOURCE], image[DERIVED]) for label, image in images]
        found = recommend(slices, noise, strength=strength, passed=result.verdict == "pass")
        result = result.model_copy(update={"recommendation": found})
    return result.model_copy(update={"paragraph": paragraph(result)})


def _manifest_path(derived: Stack) -> Path:
    return derived.slices[0].path.parent / MANIFEST if derived.path.is_dir() else manifest_path(derived.path)
