"""With de-identification, no name of an input and no value of a header is printed or written."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence

from ctdenoise.errors import InputError
from ctdenoise.evaluation.run_report import write_run_report
from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.io.dicom.deidentify import Deidentification
from tests.conftest import Halve, Messages, make_series

NAME = "QUIXOTE"
OPTIONS = RunOptions(strength=0.5, deidentification=Deidentification())


def everything(folder) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return " ".join([*(str(path.relative_to(folder)) for path in folder.rglob("*")), *map(str, files)]) + " ".join(
        path.read_bytes().decode("latin-1") for path in files
    )


def test_entries_of_an_archive_are_named_by_their_content(tmp_path, halve):
    source = make_series(tmp_path / NAME)
    (source / f"{NAME}.txt").write_text("hello")
    shutil.make_archive(str(tmp_path / "in"), "zip", tmp_path, NAME)
    messages = Messages()
    outcome = denoise(tmp_path / "in.zip", tmp_path / "out", model=halve, options=OPTIONS, progress=messages)
    (skipped,) = outcome.skipped
    assert skipped.name.startswith("sha256-")
    assert NAME not in everything(tmp_path / "out") + str(messages.__dict__)


def test_an_archive_that_cannot_be_unpacked_names_none_of_its_entries(tmp_path, halve):
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{NAME}.dcm", b"x" * 100)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"x" * 100, b"y" * 100))
    with pytest.raises(InputError, match="found a damaged one") as error:
        denoise(path, tmp_path / "out", model=halve, options=OPTIONS)
    assert NAME not in str(error.value)


def test_values_of_a_header_are_in_no_reason(tmp_path, halve):
    source = make_series(tmp_path / "in")
    image = dcmread(source / "IMG001")
    image.PhotometricInterpretation = NAME
    image.save_as(source / "IMG001")
    (result,) = denoise(source, tmp_path / "out", model=halve, options=OPTIONS).results
    (failed,) = result.manifest.failed
    assert failed.reason.startswith("PhotometricInterpretation (0028,0004): expected MONOCHROME1 or MONOCHROME2")
    assert NAME not in everything(tmp_path / "out")


def test_folders_and_suffixes_of_photographs_are_not_repeated(tmp_path):
    folder = tmp_path / "in" / NAME
    folder.mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(folder / f"DOE.{NAME}.png")
    model = Denoiser(Halve(), hu_range=None)
    (result,) = denoise(tmp_path / "in", tmp_path / "out", model=model, options=OPTIONS).results
    assert result.manifest.derived.file.startswith("sha256-")
    assert NAME not in everything(tmp_path / "out")


def test_a_report_survives_a_reference_without_a_uid(tmp_path, halve):
    def refer_to_nothing(image, index):
        image.SourceImageSequence = Sequence([Dataset()])

    source = make_series(tmp_path / "in", edit=refer_to_nothing)
    outcome = denoise(source, tmp_path / "out", model=halve, options=OPTIONS, on_result=write_run_report)
    assert not outcome.failed
    assert (outcome.results[0].folder / "report.html").is_file()
