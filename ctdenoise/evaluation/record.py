"""What the typed documents of an evaluation are built of."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _finite_or_none(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


#: A measured value; None where it is infinite, undefined or not measured, none of which JSON has a number for.
Measured = Annotated[float | None, BeforeValidator(_finite_or_none)]
#: A bootstrap 95 % interval; None where too little was measured for one.
Interval = tuple[Measured, Measured] | None


class Record(BaseModel):
    """An immutable part of a document that is written as JSON and read from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """Return the document of JSON types, keys as in the file."""
        return self.model_dump(mode="json", by_alias=True)
