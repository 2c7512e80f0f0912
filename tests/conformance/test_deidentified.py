"""What dicom3tools says about de-identified images, beside what it says about their sources."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover, write_slice
from ctdenoise.io.dicom.deidentify import Deidentification
from ctdenoise.io.dicom.enhanced import ENHANCED_CT
from ctdenoise.io.dicom.read import NotDicomError, read_dataset
from tests.conformance.test_derived_series import tool
from tests.conftest import DATA, real_series

KEY = "a secret of enough characters"


def errors(program: str, *paths: Path) -> set[str]:
    """Errors of dciodvfy or dcentvfy without the UIDs in them, which pseudonyms replace."""
    result = subprocess.run([program, *paths], capture_output=True, text=True, errors="replace", check=False)
    lines = (result.stdout + result.stderr).splitlines()
    return {re.sub(r"<[\d.]+>", "<>", line) for line in lines if line.startswith("Error")}


def deidentified(source: Path, target: Path, **settings: object) -> Path:
    image = read_dataset(source)
    Deidentification(**settings).apply(image)
    write_slice(image, target)
    return target


@pytest.mark.parametrize("settings", [{}, {"key": KEY, "shift_dates": True}], ids=str)
@pytest.mark.parametrize("name", real_series())
def test_dciodvfy_finds_no_new_error_in_series(name, settings, data, tmp_path):
    program = tool("dciodvfy", "dicom3tools")
    slices = discover(data / "ct" / name).series[0].slices
    for file in slices[:: max(1, len(slices) // 3)]:
        assert errors(program, deidentified(file.path, tmp_path / "0.dcm", **settings)) <= errors(program, file.path)


def singles() -> list[Path]:
    folders = sorted(p for p in (DATA / "ct-singles").glob("*") if p.is_dir())
    return [sorted(folder.glob("*.dcm"))[0] for folder in folders]


def flavours() -> list[Path]:
    return sorted(p for p in (DATA / "dicom-flavours").rglob("*") if p.is_file())


@pytest.mark.parametrize("gather", [singles, flavours], ids=["singles", "flavours"])
def test_dciodvfy_finds_no_new_error_in_single_images_and_flavours(gather, data, tmp_path):
    program = tool("dciodvfy", "dicom3tools")
    count = 0
    for path in gather():
        try:
            if read_dataset(path, specific_tags=["SOPClassUID"]).get("SOPClassUID") not in (
                CTImageStorage,
                *ENHANCED_CT,
            ):
                continue
            image = deidentified(path, tmp_path / "0.dcm", key=KEY)
        except (InputError, NotDicomError):
            continue
        assert errors(program, image) <= errors(program, path), path
        count += 1
    assert count > 40


@pytest.mark.parametrize("settings", [{}, {"key": KEY, "shift_dates": True}, {"patient_id": "CASE 7"}], ids=str)
@pytest.mark.parametrize("name", real_series())
def test_dcentvfy_finds_one_patient_study_and_series(name, settings, data, tmp_path):
    program = tool("dcentvfy", "dicom3tools")
    sources = [file.path for file in discover(data / "ct" / name).series[0].slices[:12]]
    images = [deidentified(path, tmp_path / f"{n}.dcm", **settings) for n, path in enumerate(sources)]
    kinds = {line.split(" - ")[-1] for line in errors(program, *images)}
    assert kinds <= {line.split(" - ")[-1] for line in errors(program, *sources)}
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        found, expected = (
            len({dcmread(path, specific_tags=[keyword]).get(keyword) for path in paths}) for paths in (images, sources)
        )
        assert found == expected
