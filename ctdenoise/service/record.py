"""What is known of a series in the spool, in files beside its images; none holds patient data."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ctdenoise.files import write_whole

Model = TypeVar("Model", bound=BaseModel)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore")


class SeriesRecord(_Entry):
    """A series: ``series.json``."""

    calling_ae_title: str = Field(default="", description="Of who sent the first image.")
    received: float = Field(default=0, description="When the first image came, seconds since 1970.")
    crashes: int = Field(default=0, description="Processes that died over it.")
    rule: str = Field(default="", description="The rule that matched.")
    results: dict[str, str] = Field(
        default_factory=dict, description="Files below `out` that are to be sent, by SOP Instance UID."
    )
    destinations: list[str] = Field(default_factory=list, description="Where to.")
    left_alone: str = Field(default="", description="Why nothing was done; empty if something was.")
    problems: list[str] = Field(default_factory=list, description="What could not be processed or sent, and why.")


class Delivery(_Entry):
    """How far the sending of a series to one destination is: ``delivery-NAME.json``."""

    sent: list[str] = Field(default_factory=list, description="SOP Instance UIDs that were accepted.")
    attempts: int = Field(default=0, description="That failed since the last success.")
    next_attempt: float = Field(default=0, description="Seconds since 1970.")
    done: bool = False
    problem: str = Field(default="", description="Why the last attempt failed.")
    given_up: bool = False
    transaction: str = Field(default="", description="UID of a request for storage commitment without an answer yet.")


def read_record(path: Path, model: type[Model]) -> Model:
    """Read a record; an empty one if there is none or it is damaged."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return model()


def write_record(path: Path, record: BaseModel) -> None:
    """Write a record, whole or not at all."""
    write_whole(path, record.model_dump_json(indent=2) + "\n")
