"""A MONAI workflow that refuses misspelled options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from ctdenoise.errors import InputError


class CheckedWorkflow(ConfigWorkflow):
    """MONAI's ``ConfigWorkflow``, but options that are no key of the configuration are refused.

    MONAI itself adds an unknown key to the configuration, where nothing reads it, so that a misspelled option has no
    effect. This class is for ``python -m monai.bundle run --workflow_name`` and for the ``workflow_name`` of
    ``monai.bundle.create_workflow``, as ``ctdenoise.training.workflow.CheckedWorkflow``.

    Raises
    ------
    InputError
        If an option names no key.
    """

    def __init__(self, config_file: str | Sequence[str], *args: Any, **options: Any) -> None:
        super().__init__(config_file, *args, **options)
        known = ConfigParser.load_config_files(config_file)
        own = {"meta_file", "logging_file", "init_id", "run_id", "final_id", "tracking", "workflow_type"}
        for name in options:
            if name not in own | {"properties_path"} and name.split("#")[0].split("::")[0] not in known:
                raise InputError(f"--{name}: expected a key of the configuration, found none", path=str(config_file))
