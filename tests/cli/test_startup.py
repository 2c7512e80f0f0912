"""Commands that need no network import neither torch nor MONAI, which take seconds to import."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ctdenoise.training.resources import names
from tests.conftest import make_series

HEAVY = {"torch", "torchvision", "monai", "ignite", "open_clip", "timm", "scipy", "skimage", "matplotlib", "openvino"}


def start(*arguments: str | Path, cwd: Path) -> tuple[str, set[str]]:
    """Run a command; return what it printed and the top-level packages it imported."""
    command = [sys.executable, "-X", "importtime", "-m", "ctdenoise", *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    modules = re.findall(r"^import time: .*\| *([\w.]+)$", result.stderr, re.MULTILINE)
    assert "ctdenoise.cli" in modules
    return result.stdout, {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--version",), "."),
        (("datasets", "list"), "own-ct"),
        (("datasets", "show", "own-ct"), "Your own CT"),
        (("models", "list"), "ct-lowdose"),
        (("models", "show", "ct-lowdose"), "# ct-lowdose"),
        (("train", "--help"), "PIPELINE"),
        (("export", "--help"), "PIPELINE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_commands_that_only_show_something_import_nothing_heavy(arguments, shown, tmp_path):
    output, packages = start(*arguments, cwd=tmp_path)
    assert shown in output
    assert not packages & {*HEAVY, "numpy", "pydicom"}


def test_the_help_of_train_names_all_bundles(tmp_path):
    output, _ = start("train", "--help", cwd=tmp_path)
    assert set(names("pipelines")) <= set(re.findall(r"\w+", output))


def test_inspect_and_datasets_prepare_import_nothing_heavy(tmp_path):
    for patient in "ab":
        make_series(tmp_path / patient, slices=1, edit=lambda d, _, patient=patient: setattr(d, "PatientID", patient))
    for arguments in (("inspect", tmp_path / "a"), ("datasets", "prepare", "own-ct", tmp_path)):
        _, packages = start(*arguments, cwd=tmp_path)
        assert "pydicom" in packages
        assert not packages & HEAVY
