"""The audit of a run's results: beside each of them, and in its manifest."""

from __future__ import annotations

from pathlib import Path

from ctdenoise.audit.document import Audit
from ctdenoise.audit.entry import AUDIT, audit_aligned
from ctdenoise.audit.page import PAGE
from ctdenoise.audit.series_audit import DERIVED, SOURCE
from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.stacks import open_stack, source_stack
from ctdenoise.inference.file_run import rewrite_manifest
from ctdenoise.inference.manifest import AuditEntry
from ctdenoise.inference.results import SeriesResult
from ctdenoise.io.dicom.series import Series, Skipped


def write_run_audit(result: SeriesResult, source: Series | Path, input_path: Path) -> list[Skipped]:
    """Audit a result that is new or was not audited, and record the verdict in its manifest.

    The signature is that of :class:`~ctdenoise.inference.results.ResultHandler`.

    Returns
    -------
    list
        Why there is no audit, if there is none; the result itself is complete.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    manifest = result.manifest
    name = f"{manifest.derived.file}." if manifest.derived.file else ""
    page = result.folder / f"{name}{PAGE}"
    if manifest.source.kind == "photograph":
        return [Skipped(page, "no audit: a photograph, and an audit is of CT")]
    if manifest.audit and page.exists() and not result.written:
        return []
    try:
        stack = source_stack(source, input_path)
        derived = open_stack(result.folder / manifest.derived.file)
        audit = audit_aligned(
            align({SOURCE: stack, DERIVED: derived}),
            document=result.folder / f"{name}{AUDIT}",
            page=page,
            strength=manifest.strength,
        )
    except InputError as error:
        return [Skipped(page, f"no audit: {error.reason}")]
    except OSError:
        raise
    except Exception as error:  # an image that measuring cannot cope with; the result itself is complete
        return [Skipped(page, f"no audit: {type(error).__name__} while measuring")]
    manifest.audit = audit_entry(audit, f"{name}{AUDIT}")
    rewrite_manifest(result)
    return []


def audit_entry(audit: Audit, file: str) -> AuditEntry:
    """Return what the manifest says of an audit."""
    return AuditEntry(
        verdict=audit.verdict,
        sentence=audit.sentence,
        reasons=[f"{reason.severity}: {reason.text}" for reason in audit.reasons],
        slices=len(audit.slices),
        file=file,
    )
