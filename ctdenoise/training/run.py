"""Running a bundle of ``pipelines/`` as ``python -m monai.bundle run`` does."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ctdenoise.errors import Help, InputError
from ctdenoise.training.configuration import merged_configuration
from ctdenoise.training.resources import resource

_PACKAGE = Path(__file__).parent.parent


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
        If an argument is not of these forms, or packages that training needs are not installed.
    """
    missing = [name for name in ("fire", "ignite", "tensorboard") if find_spec(name) is None]
    if missing:
        raise InputError(
            f"training needs {', '.join(missing)}, found none",
            hint="pip install 'ctdenoise[train]'",
            see=Help.MISSING_PACKAGE,
        )
    from fire.parser import DefaultParseValue

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
        If there is no such bundle, configuration file or key, or a value cannot be used.
    """
    from monai.bundle import run

    from ctdenoise.training.options import check_options

    folder = resource("pipelines", pipeline)
    names = [*configs, *(["multi_gpu_train"] if int(os.environ.get("WORLD_SIZE", "1")) > 1 else [])]
    configuration = merged_configuration(pipeline, *names)
    check_options(configuration, overrides)
    values = {"bundle_root": str(folder), "output_dir": f"{pipeline}-training", **overrides}
    values["output_dir"] = str(values["output_dir"])  # a name like 2026 was read as a number
    if "export" in configs:
        _refuse_other_values(values)
    Path(values["output_dir"]).mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory() as written:
            # MONAI warns of files from several folders.
            whole = Path(written) / "configuration.json"
            whole.write_text(json.dumps(configuration), encoding="utf-8")
            run(
                config_file=str(whole),
                meta_file=str(folder / "configs" / "metadata.json"),
                logging_file=str(folder / "configs" / "logging.conf"),
                **values,
            )
    except Exception as error:
        found = _user_error(error)
        if found is None:
            raise
        raise found from None


def _user_error(error: BaseException) -> InputError | None:
    """Return what a user can act on: an error of ours, or one that our code raised for a value that cannot be used.

    MONAI wraps the errors that expressions of a configuration raise.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return cause
        frames = traceback.extract_tb(cause.__traceback__)
        ours = bool(frames) and Path(frames[-1].filename).is_relative_to(_PACKAGE)
        if ours and isinstance(cause, (ValueError, TypeError)):
            return InputError(str(cause))
        cause = cause.__cause__
    return None


def _refuse_other_values(values: Mapping[str, Any]) -> None:
    """Refuse options of an export that contradict what the checkpoint was trained with."""
    from ctdenoise.training.checkpoints import best_checkpoint, latest_checkpoint, read_checkpoint
    from ctdenoise.training.record import contradictions

    folder = values["output_dir"]
    path = values.get("checkpoint_file") or best_checkpoint(folder) or latest_checkpoint(folder)
    record = read_checkpoint(path).get("record") if path else None
    if record and (found := contradictions(record, values)):
        raise InputError(
            f"this checkpoint was trained with other values: {'; '.join(found)}",
            path=path,
            hint="leave these options out: the checkpoint has its values",
        )
