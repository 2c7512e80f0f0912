"""Running a bundle of ``pipelines/`` as ``python -m monai.bundle run`` does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue

from ctdenoise.errors import InputError
from ctdenoise.training.configuration import config_files
from ctdenoise.training.resources import resource


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse ``--key value`` and ``--key=value`` as ``python -m monai.bundle run`` does.

    Parameters
    ----------
    arguments
        Command-line arguments, e.g. ``["--betas", "[0.9, 0.99]"]``.

    Returns
    -------
    dict
        Values by configuration key; numbers, lists and dictionaries are parsed as Python literals.

    Raises
    ------
    InputError
        If an argument is not of these forms.
    """
    overrides, remaining = {}, list(arguments)
    while remaining:
        key, equals, value = remaining.pop(0).partition("=")
        if not key.startswith("--") or (not equals and not remaining):
            raise InputError(f"expected --key value, found {key}", hint="keys are those of configs/train.json")
        overrides[key.removeprefix("--").replace("-", "_")] = DefaultParseValue(value if equals else remaining.pop(0))
    return overrides


def run_pipeline(pipeline: str, configs: Sequence[str], overrides: Mapping[str, Any]) -> None:
    """Run a bundle of ``pipelines/``.

    Parameters
    ----------
    pipeline
        Name of the bundle.
    configs
        Names of configuration files in its ``configs/``; each overrides the ones before it. Under ``torchrun``,
        ``multi_gpu_train`` is added.
    overrides
        Configuration values by key. ``output_dir`` is ``PIPELINE-training`` in the working directory by default.

    Raises
    ------
    InputError
        If there is no such bundle, configuration file or key.
    """
    from monai.bundle import ConfigParser, run

    if find_spec("tensorboard") is None:
        raise InputError("training needs TensorBoard, found none", hint="pip install 'ctdenoise[train]'")
    folder = resource("pipelines", pipeline)
    names = [*configs, *(["multi_gpu_train"] if int(os.environ.get("WORLD_SIZE", "1")) > 1 else [])]
    files = config_files(pipeline, names)
    known = ConfigParser.load_config_files([str(file) for file in files])
    for key in overrides:
        if key.split("#")[0].split("::")[0] not in known:
            raise InputError(f"--{key}: expected a key of the configuration of {pipeline}, found none")
    values = {"bundle_root": str(folder), "output_dir": f"{pipeline}-training", **overrides}
    Path(values["output_dir"]).mkdir(parents=True, exist_ok=True)
    try:
        run(
            config_file=[str(file) for file in files],
            meta_file=str(folder / "configs" / "metadata.json"),
            logging_file=str(folder / "configs" / "logging.conf"),
            **values,
        )
    except RuntimeError as error:
        # MONAI wraps the errors that expressions of a configuration raise.
        cause: BaseException | None = error
        while cause and not isinstance(cause, InputError):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from None
