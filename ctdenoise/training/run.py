"""``ctdenoise train``: the very configurations that ``python -m monai.bundle run`` takes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue

from ctdenoise.errors import InputError
from ctdenoise.training.resources import resource


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Read ``--key value`` and ``--key=value`` as ``python -m monai.bundle run`` does, e.g. ``--betas "[0.9, 0.99]"``.

    Raises
    ------
    InputError
        If something else stands there.
    """
    overrides, rest = {}, list(arguments)
    while rest:
        key, equals, value = rest.pop(0).partition("=")
        if not key.startswith("--") or (not equals and not rest):
            raise InputError(f"expected --key value, found {key}", hint="keys are those of configs/train.json")
        overrides[key.removeprefix("--").replace("-", "_")] = DefaultParseValue(value if equals else rest.pop(0))
    return overrides


def run_pipeline(pipeline: str, configs: Sequence[str], overrides: Mapping[str, Any]) -> None:
    """Run a bundle of ``pipelines/``.

    Parameters
    ----------
    pipeline
        Its name.
    configs
        Names in its ``configs/``, each on top of the one before; under ``torchrun``, ``multi_gpu_train`` follows.
    overrides
        Values of the configuration, by id. ``output_dir`` is ``PIPELINE-training`` here if not given.

    Raises
    ------
    InputError
        If there is no such bundle, config or value.
    """
    from monai.bundle import ConfigParser, run

    if find_spec("tensorboard") is None:
        raise InputError("training needs TensorBoard, found none", hint="pip install 'ctdenoise[train]'")
    folder = resource("pipelines", pipeline)
    names = [*configs, *(["multi_gpu_train"] if int(os.environ.get("WORLD_SIZE", "1")) > 1 else [])]
    files = [folder / "configs" / f"{name}.json" for name in names]
    for file in files:
        if not file.is_file():
            there = ", ".join(sorted(p.stem for p in file.parent.glob("*.json")))
            raise InputError(f"expected one of {there}, found nothing there", path=file)
    known = ConfigParser.load_config_files([str(file) for file in files])
    for key in overrides:
        if key.split("#")[0].split("::")[0] not in known:
            raise InputError(f"--{key}: expected a value of {pipeline}, found none of that name", path=files[0])
    values = {"bundle_root": str(folder), "output_dir": f"{pipeline}-training", **overrides}
    Path(values["output_dir"]).mkdir(parents=True, exist_ok=True)
    # The configuration is ours, or the user's own.
    warnings.filterwarnings("ignore", message="parsing config_file")
    try:
        run(
            config_file=[str(file) for file in files],
            meta_file=str(folder / "configs" / "metadata.json"),
            logging_file=str(folder / "configs" / "logging.conf"),
            **values,
        )
    except RuntimeError as error:
        # MONAI wraps what a configuration's expressions raise.
        cause: BaseException | None = error
        while cause and not isinstance(cause, InputError):
            cause = cause.__cause__
        raise cause or error from None
