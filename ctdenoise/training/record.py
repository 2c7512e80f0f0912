"""What a training was run with: its configuration and data, kept in its checkpoints and compared on resuming."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ctdenoise.noise.measure import evenly_spread
from ctdenoise.training.configuration import BASED_ON
from ctdenoise.training.datasets import Datalist, Item, item_paths
from ctdenoise.version import __version__

#: Where files are on this machine: not kept, because data and results may be moved between two runs.
_PLACES = frozenset({"bundle_root", "dataset_dir", "datalist", "output_dir", "noise_dir", "targets_dir"})
#: What may differ between two runs of the same training: where it computes, and what it prints.
_FREE = frozenset(
    {
        *_PLACES,
        *("_meta_", BASED_ON, "imports", "initialize", "run", "finalize", "reset"),
        *("device", "rank", "processes", "workers", "cache_rate", "model", "validate#loader#sampler"),
    }
)
#: Files whose content is in the fingerprint of a data set, in addition to names and sizes of all.
_READ_FILES = 16
#: Characters of a value in a message.
_SHOWN = 60


class TrainingRecord:
    """A part of a checkpoint that says what was trained, how, and on which data.

    Parameters
    ----------
    configuration
        From :func:`current_configuration`.
    data
        The datalist of the training.
    model
        What an export needs: ``network``, ``encoder``, ``hu_range`` and, for networks with an encoder,
        ``trainable_encoder`` and ``encoder_weights``, as resolved.
    """

    def __init__(self, *, configuration: Mapping[str, Any], data: Datalist, model: Mapping[str, Any]) -> None:
        self.configuration = configuration
        self.data = fingerprint(data)
        self.model = model

    def state_dict(self) -> dict[str, Any]:
        """Return what is stored: dictionaries, lists, strings and numbers."""
        content = {"configuration": self.configuration, "data": self.data, "model": dict(self.model)}
        stored: dict[str, Any] = {**_plain(content), "ctdenoise": __version__}
        return stored

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Do nothing: a training that resumes keeps its own record, which :meth:`differences` compares before."""

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """Describe in what this training differs from the one with the record `stored`, one entry for each value."""
        before, now = (dict(_values(c)) for c in (stored["configuration"], _plain(self.configuration)))
        changed = [key for key in {**before, **now} if before.get(key, _ABSENT) != now.get(key, _ABSENT)]
        found = [f"--{key} {_shown(before, key)}, now {_shown(now, key)}" for key in changed if not _is_free(key)]
        if stored["data"] != self.data:
            found.append(f"data {_described(stored['data'])}, now {_described(self.data)}")
        return found


def contradictions(stored: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """Describe the options that differ from the configuration of the record `stored`."""
    trained = ConfigParser(stored["configuration"])
    found = []
    for option, value in options.items():
        key = option.replace("::", "#")
        before = trained.get(key, default=_ABSENT)
        if key.split("#")[0] in stored["configuration"] and not _is_free(key) and before != _plain(value):
            was = "not set" if before is _ABSENT else json.dumps(before)
            found.append(f"--{key} {was}, now {json.dumps(value, default=str)}")
    return found


def current_configuration() -> dict[str, Any]:
    """Return the configuration in which an expression calls this function, with all overrides, as it is written.

    MONAI gives expressions no access to the parser that evaluates them. It is found among the calling functions, so
    that the record is complete however a bundle is run: by ``ctdenoise train``, MONAI's command or a program.

    Raises
    ------
    RuntimeError
        If no configuration is being evaluated.
    """
    frame = inspect.currentframe()
    while frame is not None:
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            content = {key: value for key, value in parser.get().items() if key not in {*_PLACES, "_meta_"}}
            result: dict[str, Any] = _plain(content)
            return result
        frame = frame.f_back
    raise RuntimeError("expected a call by an expression of a configuration")


def fingerprint(data: Datalist) -> dict[str, Any]:
    """Identify the images of a training without naming them.

    Returns
    -------
    dict
        The numbers of images for ``training`` and ``validation``; ``sha256`` of the names of their files, relative to
        the folder that all are in, their sizes, and the content of 16 of them.
    """
    sections = ("training", "validation")
    items = {section: data.get(section, []) for section in sections}
    paths = [path for listed in items.values() for item in listed for path in item_paths(item)]
    root = os.path.commonpath([str(Path(path).parent) for path in paths]) if paths else ""
    digest = hashlib.sha256()
    for section, listed in items.items():
        for item in listed:
            digest.update(json.dumps([section, *_file_entries(item, root)]).encode())
    for index in evenly_spread(len(paths), _READ_FILES):
        with Path(paths[index]).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {**{section: len(listed) for section, listed in items.items()}, "sha256": digest.hexdigest()}


def _file_entries(item: Item, root: str) -> list[tuple[str, int]]:
    return [(Path(path).relative_to(root).as_posix(), Path(path).stat().st_size) for path in item_paths(item)]


_ABSENT = object()


def _plain(content: Any) -> Any:
    """Return what JSON can hold of the content; other objects, which only a program can have set, as text."""
    return json.loads(json.dumps(content, default=str))


def _values(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the single values of a nested configuration, with keys as on the command line."""
    if not isinstance(content, (Mapping, list)) or not content or _is_list_of_values(content):
        yield key, content
        return
    for name, value in content.items() if isinstance(content, Mapping) else enumerate(content):
        yield from _values(value, f"{key}#{name}" if key else str(name))


def _is_list_of_values(content: Any) -> bool:
    return isinstance(content, list) and not any(isinstance(value, (Mapping, list)) for value in content)


def _is_free(key: str) -> bool:
    parts = key.split("#")
    return any("#".join(parts[: count + 1]) in _FREE for count in range(len(parts)))


def _shown(values: Mapping[str, Any], key: str) -> str:
    text = json.dumps(values[key], ensure_ascii=False) if key in values else "not set"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _described(data: Mapping[str, Any]) -> str:
    return f"{data['training']} + {data['validation']} images of fingerprint {data['sha256'][:12]}"
