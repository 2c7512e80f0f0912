"""The configuration files of a bundle: what it shares with others, what is its own, and overlays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ctdenoise.errors import InputError
from ctdenoise.training.resources import common_folder, resource

#: Key of a configuration file with the files, relative to its folder, that it overrides.
BASED_ON = "based_on"
#: Overlays that all bundles share, in the folder ``overlays`` beside the shared graph.
_OVERLAYS = "overlays"


def config_files(pipeline: str, configs: Sequence[str] = ("train",)) -> list[Path]:
    """Return the files whose merged content is the configuration, in the order in which MONAI merges them.

    MONAI merges a list of configuration files; each overrides the ones before it. A file of a bundle that names others
    under ``based_on`` holds only what differs from them.

    Parameters
    ----------
    pipeline
        Name of the bundle.
    configs
        Names of its configuration files without ``.json``: of its own folder ``configs``, or overlays that all bundles
        share.

    Raises
    ------
    InputError
        If there is no such bundle or file.
    """
    own = resource("pipelines", pipeline) / "configs"
    shared = common_folder() / _OVERLAYS
    files: list[Path] = []
    for name in configs:
        file = next((f / f"{name}.json" for f in (own, shared) if (f / f"{name}.json").is_file()), None)
        if file is None:
            present = ", ".join(sorted(path.stem for path in (*own.glob("*.json"), *shared.glob("*.json"))))
            raise InputError(
                f"expected one of the configuration files {present}, found no file", path=own / f"{name}.json"
            )
        files += [path for path in _with_bases(file) if path not in files]
    return files


def merged_configuration(pipeline: str, *configs: str) -> dict[str, Any]:
    """Return the merged content of :func:`config_files`."""
    from monai.bundle import ConfigParser

    content: dict[str, Any] = ConfigParser.load_config_files([str(file) for file in config_files(pipeline, configs)])
    return {key: value for key, value in content.items() if key != BASED_ON}


def shared_overlays() -> list[Path]:
    """Return the overlays that all bundles share."""
    return sorted((common_folder() / _OVERLAYS).glob("*.json"))


def _with_bases(file: Path) -> list[Path]:
    bases = json.loads(file.read_text(encoding="utf-8")).get(BASED_ON, [])
    return [*(path for base in bases for path in _with_bases((file.parent / base).resolve())), file]
