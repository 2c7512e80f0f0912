"""A user's program is checked against the installed package: ``py.typed`` is there, and public names have types."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ctdenoise

PROGRAM = """
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from ctdenoise import Denoiser, RunOptions, denoise
from ctdenoise.errors import InputError
from ctdenoise.evaluation.document import Evaluation


def main(source: Path, output: Path) -> float:
    denoiser = Denoiser.from_pretrained("ct-lowdose")
    try:
        result = denoise(source, output, model=denoiser, options=RunOptions(strength=0.5))
    except InputError as error:
        raise SystemExit(str(error)) from error
    assert_type(result.failed, bool)  # fails where the package has no types
    hu: NDArray[np.float32] = np.zeros((64, 64), np.float32)
    clean = denoiser(hu, strength=0.5)
    return float(clean.mean())


def noise(report: Path) -> dict[str, float | None]:
    physics = Evaluation.model_validate_json(report.read_text()).physics
    images = physics.images if physics else {}
    return {name: image.noise.std_hu for name, image in images.items() if image.noise}
"""


@pytest.mark.slow
def test_a_program_is_checked_against_the_installed_package(tmp_path):
    """Installed as from a wheel into an environment of its own, in which the dependencies are found."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    folder = next(environment.glob("lib/python*/site-packages"))
    (folder / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    unneeded = shutil.ignore_patterns("pretrained", "__pycache__")
    shutil.copytree(Path(ctdenoise.__file__).parent, folder / "ctdenoise", ignore=unneeded)
    assert (folder / "ctdenoise" / "py.typed").exists()
    (tmp_path / "program.py").write_text(PROGRAM)
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    done = subprocess.run(
        [*command, f"--python-executable={python}", "program.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
