"""What happened to each slice: ``manifest.json`` in every output folder, and the journal it is made from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import nn

import ctdenoise
from ctdenoise.files import write_whole
from ctdenoise.models.zoo import ModelDescription

SCHEMA = "ctdenoise-manifest-1"
MANIFEST = "manifest.json"
_JOURNAL = ".manifest.partial.jsonl"


@dataclass(frozen=True)
class SliceRecord:
    """One slice done.

    Attributes
    ----------
    file
        Name in the output folder.
    source_uid, derived_uid
        SOPInstanceUIDs.
    clipped
        Pixels saturated because the bit depth does not hold their value.
    padding
        Pixels left alone because they are no image.
    seconds
        In the network.
    lossy
        Whether the source's pixels had been compressed with loss.
    """

    file: str
    source_uid: str
    derived_uid: str
    clipped: int
    padding: int
    seconds: float
    lossy: bool = False


class Journal:
    """Records of the slices that are done, one line each while a run lasts, so that one that was cut off can go on.

    A line is added only after its file has its final name; a file without a line is written again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _JOURNAL

    def read(self) -> list[SliceRecord]:
        """Return the records, of this journal or else of the manifest, of slices whose files are there."""
        if self._path.exists():
            records = self._lines()
        else:
            manifest = read_manifest(self._folder / MANIFEST)
            records = [SliceRecord(**row) for row in manifest["slices"]] if manifest else []
        return [record for record in records if (self._folder / record.file).is_file()]

    def _lines(self) -> list[SliceRecord]:
        records = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(SliceRecord(**json.loads(line)))
            except (ValueError, TypeError):  # cut off while it was written
                continue
        return records

    def restart(self, records: Iterable[SliceRecord]) -> None:
        """Begin with these records and nothing else."""
        write_whole(self._path, "".join(json.dumps(asdict(record)) + "\n" for record in records))

    def add(self, record: SliceRecord) -> None:
        """Add a record."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")

    def remove(self) -> None:
        """Remove the journal: the manifest now says it all."""
        self._path.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Return the versions of what computed the result."""
    packages = ("torch", "monai", "open_clip_torch", "pydicom", "numpy")
    return {
        "ctdenoise": ctdenoise.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def begin_manifest(
    process: dict[str, Any], device: str, source: dict[str, Any], derived: dict[str, Any]
) -> dict[str, Any]:
    """Return what a manifest says when a run begins.

    Parameters
    ----------
    process
        What is done: entries that are equal for equal results.
    device
        Where.
    source, derived
        What it is done to, with its number of ``slices``, and what comes of it.
    """
    return {
        "schema": SCHEMA,
        "status": "running",
        "started": datetime.now().isoformat(timespec="seconds"),
        "versions": versions(),
        **process,
        "device": device,
        "source": source,
        "derived": derived,
        "skipped": [],
        "failed": [],
        "slices": [],
        "clipped": 0,
        "lossy": 0,
        "seconds": 0.0,
    }


def model_entry(description: ModelDescription | None, network: nn.Module) -> dict[str, str]:
    """Return what identifies a model; for a network that is not from the zoo, a hash of its layers and weights."""
    if description is None:
        digest = hashlib.sha256(repr(network).encode())
        for name, value in network.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
        return {"name": "custom", "sha256": digest.hexdigest()}
    entry = {
        "name": description.name,
        "version": description.version,
        "sha256": description.sha256,
        "encoder": description.encoder_name,
        "encoder_sha256": description.encoder_sha256,
        "decoder_sha256": description.decoder_sha256,
    }
    return {key: value for key, value in entry.items() if value is not None}


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write a manifest, whole or not at all."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Read a manifest; None if there is none that can be read."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content
