"""The operator in an application of the MONAI Deploy App SDK, where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

pytest.importorskip("monai.deploy.core", reason="monai-deploy-app-sdk is not installed")

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application
from monai.deploy.core.domain import DICOMSeries, DICOMStudy
from monai.deploy.core.domain.dicom_series_selection import SelectedSeries, StudySelectedSeries
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, denoise
from ctdenoise.integrations.monai_deploy import DenoiseOperator
from tests.conftest import make_series

SELECTION = '{"selections": [{"name": "CT", "conditions": {"Modality": "CT"}}]}'


def small() -> Denoiser:
    return Denoiser.from_pretrained("ct-lowdose-lite", engine="eager")


class Denoising(Application):
    def __init__(self, source: Path, output: Path) -> None:
        self.source, self.output = source, output
        super().__init__(argv=[])

    def compose(self) -> None:
        once = CountCondition(self, 1)
        loader = DICOMDataLoaderOperator(self, once, input_folder=self.source, name="loader")
        selector = DICOMSeriesSelectorOperator(self, rules=SELECTION, all_matched=True, name="selector")
        writer = DenoiseOperator(self, output_folder=self.output, model=small(), name="writer")
        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        self.add_flow(selector, writer, {("study_selected_series_list", "study_selected_series_list")})


def datasets(folder: Path) -> dict[str, pydicom.Dataset]:
    return {d.SOPInstanceUID: d for d in map(pydicom.dcmread, sorted(folder.rglob("*.dcm")))}


def test_an_application_writes_the_derived_series_of_ctdenoise_run(tmp_path):
    for name in "ab":
        make_series(tmp_path / "in" / name, slices=2)
    Denoising(tmp_path / "in", tmp_path / "out").run()
    denoise(tmp_path / "in", tmp_path / "expected", model=small())
    found, expected = datasets(tmp_path / "out"), datasets(tmp_path / "expected")
    assert len(found) == 4
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[uid].pixel_array, expected[uid].pixel_array) for uid in found)


class Port:
    """What the SDK passes to an operator."""

    def __init__(self, content: Any = None) -> None:
        self.content = content

    def receive(self, name: str) -> Any:
        return self.content

    def emit(self, content: Any, name: str) -> None:
        self.content = content


def study_of(folder: Path) -> list[StudySelectedSeries]:
    series = DICOMSeries("1.2.3")
    for path in sorted(folder.iterdir()):
        series.add_sop_instance(pydicom.dcmread(path))
    study = StudySelectedSeries(DICOMStudy("1.2"))
    study.add_selected_series(SelectedSeries("CT", series))
    return [study]


def test_an_instance_without_file_is_denoised_and_a_damaged_one_fails_the_operator(tmp_path):
    make_series(tmp_path / "in", slices=3)
    studies = study_of(tmp_path / "in")
    instances = studies[0].selected_series[0].series.get_sop_instances()
    instances[0].get_native_sop_instance().filename = None
    operator = DenoiseOperator(Application(argv=[]), output_folder=tmp_path / "out", model=small())
    emitted = Port()
    operator.compute(Port(studies), emitted, None)
    (folder,) = emitted.content
    assert len(datasets(folder)) == 3
    damaged = sorted((tmp_path / "in").iterdir())[1]
    damaged.write_bytes(damaged.read_bytes()[:-1500])
    operator.output_folder = tmp_path / "again"
    with pytest.raises(InputError, match="1 could not be processed, the rest is done"):
        operator.compute(Port(studies), Port(), None)
    assert len(datasets(tmp_path / "again")) == 2
