"""Errors a user can act on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

#: The page that explains frequent errors: in the repository, and in the site that is built from it.
ERRORS_PAGE = "docs/errors.md"


class Help(StrEnum):
    """Sections of the page that explains frequent errors, by their anchors."""

    FAILED_FILES = "files-that-failed"
    NOTHING_THERE = "nothing-there"
    NOT_DICOM = "not-a-dicom-file"
    NO_CT = "no-ct-slice"
    CANNOT_DECODE = "pixel-data-cannot-be-decoded"
    DAMAGED = "damaged-file"
    OTHER_RESULT = "another-result-is-there"
    CANNOT_WRITE = "cannot-be-written"
    MISSING_PACKAGE = "missing-package"
    NO_MODEL = "no-such-model"
    OTHER_KIND_OF_MODEL = "model-of-the-other-kind"

    @property
    def address(self) -> str:
        """Where the section is."""
        return f"{ERRORS_PAGE}#{self.value}"


class InputError(Exception):
    """Something given to ctdenoise cannot be used.

    Parameters
    ----------
    problem
        What was expected and what was found.
    path
        The file or folder.
    tag
        The DICOM element, as ``Keyword (gggg,eeee)``.
    hint
        What to do about it.
    see
        Section of the documentation that explains it; the command line names it in a line of its own.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: Path | str | None = None,
        tag: str | None = None,
        hint: str | None = None,
        see: Help | None = None,
    ) -> None:
        self.problem = f"{tag}: {problem}" if tag else problem
        self.path = Path(path) if path is not None else None
        self.hint = hint
        self.see = see
        super().__init__(problem)

    @property
    def reason(self) -> str:
        """Problem and hint, without the path."""
        return f"{self.problem}; {self.hint}" if self.hint else self.problem

    def at(self, path: Path | str) -> InputError:
        """Return the same error of another path."""
        return InputError(self.problem, path=path, hint=self.hint, see=self.see)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path is not None else self.reason
