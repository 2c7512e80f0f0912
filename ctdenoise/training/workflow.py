"""A MONAI workflow that refuses options that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from ctdenoise.training.options import check_options


class CheckedWorkflow(ConfigWorkflow):
    """MONAI's ``ConfigWorkflow``, but options that are no key of the configuration, or of another kind, are refused.

    MONAI itself adds an unknown key to the configuration, where nothing reads it, so that a misspelled option has no
    effect. This class is for ``python -m monai.bundle run --workflow_name`` and for the ``workflow_name`` of
    ``monai.bundle.create_workflow``, as ``ctdenoise.training.workflow.CheckedWorkflow``.

    Raises
    ------
    InputError
        If an option names no key, or its value is of another kind than the configuration's.
    """

    def __init__(self, config_file: str | Sequence[str], *args: Any, **options: Any) -> None:
        super().__init__(config_file, *args, **options)
        own = {
            "meta_file",
            "logging_file",
            "init_id",
            "run_id",
            "final_id",
            "tracking",
            "workflow_type",
            "properties_path",
        }
        given = {name: value for name, value in options.items() if name not in own}
        check_options(ConfigParser.load_config_files(config_file), given)
