"""Operations and engines as others can write and move them: two classes, one class, picklable."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pytest
import SimpleITK
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ctdenoise import Denoiser
from ctdenoise.inference import apply_operation
from ctdenoise.inference.denoising import Denoising, DenoisingRequest
from ctdenoise.inference.dose_reduction import DoseReduction, DoseReductionRequest
from ctdenoise.inference.engines import ENGINES, Engine
from ctdenoise.inference.engines.base import register
from ctdenoise.inference.operations import Resolved, SeriesSample, SliceInfo, SliceOperation
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.noise.lowdose import KERNELS, Scan
from ctdenoise.provenance import Provenance
from tests.conftest import Halve, make_series, run_series

HU = np.random.default_rng(0).normal(0, 40, (2, 48, 48)).astype(np.float32)
INFOS = [SliceInfo(f"1.2.3/{i}", 0.8, 2.5, 100.0 + i) for i in range(2)]


@dataclass(frozen=True)
class OffsetRequest:
    """Asks for an offset; None takes the negative mean of the series."""

    offset: float | None = None
    series_number_offset: int = 5000

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"offset": self.offset}

    def resolve(self, sample: SeriesSample) -> Resolved:
        mean = float(np.mean([image.mean() for image in sample.images]))
        offset = round(-mean) if self.offset is None else self.offset
        return Resolved(Offset(offset), {"mean": mean}, [f"the mean was {mean:.0f} HU"])

    def restore(self, parameters: Mapping[str, Any]) -> Offset:
        return Offset(parameters["offset"])


@dataclass(frozen=True)
class Offset:
    """Adds an offset to HU."""

    offset: float
    batch_size: int = 2
    context: int = 0
    parallel_calls: int = 1

    @property
    def provenance(self) -> Provenance:
        return Provenance(
            name="offset",
            version="1",
            parameters={"offset": self.offset},
            label="shifted",
            description=f"Shifted by {self.offset:g} HU",
            series_number_offset=5000,
        )

    def __call__(self, hu: NDArray[np.float32], slices: Sequence[SliceInfo]) -> NDArray[np.float32]:
        assert hu.ndim == 3
        assert hu.dtype == np.float32
        assert len(slices) == len(hu) <= self.batch_size
        return hu + np.float32(self.offset)

    def run_info(self) -> dict[str, Any]:
        return {"note": "of the test"}


def test_a_new_operation_is_two_classes_for_dicom(tmp_path):
    source = make_series(tmp_path / "in", slices=5)
    (result,) = apply_operation(OffsetRequest(3.0), source, tmp_path / "out").results
    (derived,) = discover(tmp_path / "out").series
    assert (len(derived.slices), derived.number, result.written) == (5, 5007, 5)
    for one, other in zip(discover(source).series[0].slices, derived.slices, strict=True):
        image = read_slice(other.path)
        np.testing.assert_array_equal(image.hu, read_slice(one.path).hu + 3)
        assert "Shifted by 3 HU" in image.dataset.DerivationDescription
        assert "shifted" in image.dataset.SeriesDescription
    assert result.manifest.operation.parameters == {"offset": 3.0}
    assert result.manifest.run == {"note": "of the test"}
    assert (result.manifest.strength, result.manifest.engine) == (None, None)
    assert apply_operation(OffsetRequest(3.0), source, tmp_path / "out").results[0].written == 0


def test_a_new_operation_measures_and_keeps_what_it_measured(tmp_path):
    source = make_series(tmp_path / "in", slices=5)
    (first,) = apply_operation(OffsetRequest(), source, tmp_path / "out").results
    (first.folder / "0002.dcm").unlink()
    (again,) = apply_operation(OffsetRequest(), source, tmp_path / "out").results
    assert again.written == 1
    assert again.manifest.operation == first.manifest.operation
    assert set(first.manifest.operation.measured) == {"mean"}


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd"])
def test_a_new_operation_is_two_classes_for_volumes(name, tmp_path):
    values = np.random.default_rng(0).integers(-100, 100, (5, 20, 24)).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), tmp_path / name)
    (result,) = apply_operation(OffsetRequest(3.0), tmp_path / name, tmp_path / "out").results
    written = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(tmp_path / "out" / name))
    np.testing.assert_array_equal(written, values + 3)
    assert result.manifest.operation.name == "offset"


class TripledEngine(Engine):
    """Runs the network and multiplies by three, so that its use is seen."""

    name = "tripled"
    expected_setup_seconds = 1e9

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @classmethod
    def unavailable(cls, network: nn.Module, device: torch.device) -> str | None:
        return None

    @classmethod
    def build(cls, network: nn.Module, device: torch.device, *, channels: int) -> Self:
        return cls(network)

    def __call__(self, batch: Tensor) -> Tensor:
        return 3 * self.network(batch)


def test_a_new_engine_is_one_class(tmp_path):
    register(TripledEngine)
    try:
        assert list(ENGINES)[-1] == "tripled"  # in order of expected set-up
        denoiser = Denoiser(Halve(), engine="tripled")
        np.testing.assert_allclose(denoiser(HU, strength=1), (HU + 1024) * 1.5 - 1024, atol=1e-3)
        result = run_series(denoiser, make_series(tmp_path / "in"), tmp_path / "out")
        assert result.manifest.engine == "tripled"
        assert result.manifest.operation.parameters["environment"]["torch"] == importlib.metadata.version("torch")
    finally:
        del ENGINES["tripled"]


def operations() -> dict[str, SliceOperation]:
    scan = Scan(photons=1e5, electronic=10.0, kernel=KERNELS["hann"])
    lite = Denoiser.from_pretrained("ct-lowdose-lite", device="cpu", engine="eager")
    requested = DenoisingRequest(Denoiser(Halve()), None).resolve(SeriesSample(list(HU), INFOS, 2)).operation
    return {
        "denoising": Denoising(Denoiser(Halve()), 0.7),
        "denoising with a model": Denoising(lite, 0.7),
        "denoising of automatic strength": requested,
        "dose reduction": DoseReduction(0.5, scan, 100.5, 3),
        "measured dose reduction": DoseReductionRequest(dose=0.5, kernel=KERNELS["hann"], photons=1e5)
        .resolve(SeriesSample(list(HU), INFOS, 2))
        .operation,
    }


NAMES = list(operations())


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_can_be_pickled_before_and_after_use(name):
    operation = operations()[name]
    copy = pickle.loads(pickle.dumps(operation))
    expected = operation(HU.copy(), INFOS)
    used = pickle.loads(pickle.dumps(operation))
    for other in (copy, used):
        assert other.provenance == operation.provenance
        assert other.batch_size == operation.batch_size
        np.testing.assert_array_equal(other(HU.copy(), INFOS), expected)


@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_a_denoiser_can_be_pickled_with_its_engine(engine):
    network = Denoiser.from_pretrained("ct-lowdose-lite", device="cpu").network
    if reason := ENGINES[engine].unavailable(network, torch.device("cpu")):
        pytest.skip(reason)
    denoiser = Denoiser.from_pretrained("ct-lowdose-lite", device="cpu", engine=engine, full_field=True)
    expected = denoiser(HU, strength=1)
    copy = pickle.loads(pickle.dumps(denoiser))
    assert (copy.engine, copy.full_field) == (engine, True)
    np.testing.assert_array_equal(copy(HU, strength=1), expected)


def apply(operation: SliceOperation) -> NDArray[np.float32]:
    torch.set_num_threads(1)
    return operation(HU.copy(), INFOS)


def test_operations_give_the_same_in_a_spawned_process():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ready = operations()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results = pool.map(apply, list(ready.values()))
        for name, result in zip(ready, results, strict=True):
            np.testing.assert_array_equal(result, apply(ready[name]), err_msg=name)
    finally:
        torch.set_num_threads(threads)
