"""Errors a user can act on."""

from __future__ import annotations

from pathlib import Path


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
    """

    def __init__(
        self, problem: str, *, path: Path | str | None = None, tag: str | None = None, hint: str | None = None
    ) -> None:
        self.problem = f"{tag}: {problem}" if tag else problem
        self.path = Path(path) if path is not None else None
        self.hint = hint
        super().__init__(problem)

    @property
    def reason(self) -> str:
        """Problem and hint, without the path."""
        return f"{self.problem}; {self.hint}" if self.hint else self.problem

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path is not None else self.reason
