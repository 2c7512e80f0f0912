"""Slices with their neighbours: which ones are read, and the noise that is simulated for them."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ctdenoise.audit.bench import AtStrength, make_bench
from ctdenoise.audit.coverage import _denoised, measure_coverage
from ctdenoise.audit.error_bounds import simulate
from ctdenoise.audit.phantom import _task
from ctdenoise.audit.windows import WindowReader, correlation_of, dose_noise_of, middle
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.inference import Denoiser
from ctdenoise.inference.slice_context import frame_neighbours
from ctdenoise.io.dicom import read_slice
from ctdenoise.noise.along_normal import neighbour_share
from ctdenoise.noise.lowdose import KERNELS, Scan
from tests.audit.conftest import PIXEL_MM, texture, write_series
from tests.inference.test_slice_context import enhanced_with_positions

SCAN = Scan(photons=2e5, kernel=KERNELS["smooth"])


def body(size=160):
    """Return a disc of soft tissue, ``[H, W]`` HU."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    return gaussian_filter(np.where(np.hypot(rows, columns) < 0.45 * size, 50.0, -1000.0), 0.9).astype(np.float32)


def noise_of(window, *, correlation=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return dose_noise_of(window, pixel_mm=PIXEL_MM, dose=0.25, scan=SCAN, rng=rng, correlation=correlation)


def test_a_slice_is_read_with_its_neighbours(tmp_path):
    write_series(tmp_path / "a", [np.full((32, 32), value, np.float32) for value in (10, 20, 30)])
    read = WindowReader(align({"source": open_stack(tmp_path / "a")}), 1)
    found = [read(index)["source"][:, 0, 0].tolist() for index in range(3)]
    assert found == [[10, 10, 20], [10, 20, 30], [20, 30, 30]]


def test_planes_of_an_array_are_neighbours_in_their_order(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0)[:, None, None].repeat(32, 1).repeat(32, 2))
    stack = open_stack(tmp_path / "a.npy")
    assert WindowReader(align({"source": stack}), 1)(1)["source"][:, 0, 0].tolist() == [0, 1, 2]
    assert WindowReader(align({"source": stack}), 0)(1)["source"].shape == (1, 32, 32)


def test_a_slice_in_place_of_a_neighbour_has_the_noise_of_the_slice():
    other = body() + np.float32(1)
    for correlation in (0.0, 0.4):
        noise = noise_of(np.stack([body(), body(), other]), correlation=correlation)
        np.testing.assert_array_equal(noise[0], noise[1])
        assert not np.array_equal(noise[2], noise[1])


def test_without_neighbours_the_correlation_makes_no_difference():
    np.testing.assert_array_equal(noise_of(body()[None]), noise_of(body()[None], correlation=0.4))


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_noise_of_neighbours_has_the_given_correlation_and_strength(correlation):
    inside = np.s_[:, 50:110, 50:110]
    window = body() + np.float32([0, 1, 2])[:, None, None]
    noises = [noise_of(window, correlation=correlation, seed=seed)[inside] for seed in range(3)]
    alone = [noise_of(window[:1], seed=seed)[inside] for seed in range(6, 12)]
    found = np.corrcoef(np.ravel([n[0] for n in noises]), np.ravel([n[1] for n in noises]))[0, 1]
    assert found == pytest.approx(correlation, abs=0.1)
    assert np.std(noises) == pytest.approx(np.std(alone), rel=0.08)
    # It is measured where all neighbours are there, and 0 where they are not.
    windows = [window + noise_of(window, correlation=correlation, seed=seed) for seed in range(2)]
    assert correlation_of(windows, PIXEL_MM) == pytest.approx(correlation, abs=0.15)
    assert correlation_of([middle(one)[None].repeat(3, 0) for one in windows], PIXEL_MM) == 0


def test_a_slice_that_is_displaced_by_a_tilted_gantry_is_no_neighbour(tmp_path):
    """As in a run."""
    folder = write_series(tmp_path / "a", [np.full((32, 32), value, np.float32) for value in (10, 20, 30)])
    for index, file in enumerate(sorted(folder.iterdir())):
        header = pydicom.dcmread(file)
        header.ImagePositionPatient[1] += 3 * index
        header.save_as(file)
    read = WindowReader(align({"source": open_stack(folder)}), 1)
    assert [read(index)["source"][:, 0, 0].tolist() for index in range(3)] == [[v, v, v] for v in (10, 20, 30)]


@pytest.mark.parametrize("name", ["undisturbed", "gap", "acquisition"])
def test_frames_of_an_enhanced_object_are_neighbours_of_one_another(tmp_path, name):
    """As in a run, in whatever order they are stored."""
    source = enhanced_with_positions(tmp_path, name)
    stack = open_stack(source)
    expected = frame_neighbours(read_slice(source / "enhanced.dcm"), 1)
    read = WindowReader(align({"source": stack}), 1)
    for index, row in enumerate(expected.tolist()):
        np.testing.assert_array_equal(read(index)["source"], np.stack([stack.read(other) for other in row]))
    assert expected.shape == (len(stack.slices), 3)


def test_time_points_of_a_volume_are_no_neighbours(tmp_path):
    values = np.arange(4, dtype=np.int16)[None, None].repeat(32, 0).repeat(32, 1).reshape(32, 32, 2, 2, order="F")
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    stack = open_stack(tmp_path / "a.nii.gz")
    read = WindowReader(align({"source": stack}), 1)
    planes = [read(index)["source"][:, 0, 0].tolist() for index in range(4)]
    assert planes == [[0, 0, 1], [0, 1, 1], [2, 2, 3], [2, 3, 3]]


def mean_of_all(window):
    return window.mean(0)


def test_a_lesion_is_in_the_neighbours_too_and_their_noise_is_averaged(clean):
    rng = np.random.default_rng(3)
    windows = [np.stack([one + 15 * texture(len(one), rng) for _ in range(3)]) for one in clean]
    bench = make_bench(windows, PIXEL_MM, mean_of_all)
    assert bench.correlation < 0.15
    spectra = {"source": bench.spectra(bench.slices), "derived": bench.spectra(bench.denoised)}
    found = _task(bench, (5.0, 10.0), spectra)
    assert found.contrast_recovery["uniform"].value == pytest.approx(1, abs=0.01)
    assert found.npw_derived.value == pytest.approx(3**0.5 * found.npw_source.value, rel=0.1)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_the_error_of_a_mean_of_slices_follows_from_the_correlation_of_their_noise(correlation):
    """The variance of the mean of three is (3 + 4 ρ + 2 ρ₂) / 9 of one; ρ₂ is that of slices two apart."""
    window = body() + np.float32([0, 0.5, 1])[:, None, None]
    noise = []
    for seed in range(3):
        one = simulate(
            window, window, mean_of_all, scan=SCAN, doses=(0.5,), pixel_mm=PIXEL_MM, correlation=correlation, seed=seed
        )
        alone = simulate(
            window[1:2], window[1:2], middle, scan=SCAN, doses=(0.5,), pixel_mm=PIXEL_MM, correlation=0, seed=9 + seed
        )
        noise.append([np.std((x.denoised - x.anatomy)[50:110, 50:110]) for x in (one, alone)])
    mean, single = np.mean(noise, axis=0)
    share = neighbour_share(correlation)
    expected = (3 + 4 * correlation + 2 * share**2 / (1 + 2 * share**2)) / 9
    assert (mean / single) ** 2 == pytest.approx(expected, rel=0.2)


@pytest.mark.slow
def test_bounds_cover_what_a_model_with_context_makes():
    """Also at the ends of a series, where the slice stands for a neighbour."""
    rng = np.random.default_rng(1)
    full = [body() + 15 * texture(160, rng) for _ in range(8)]
    indices = [[max(0, i - 1), i, min(7, i + 1)] for i in range(8)]
    windows = [np.stack([full[i] for i in row]) for row in indices]
    denoiser = Denoiser(Mean(), channels=3, context=1, full_field=True)
    found = measure_coverage(windows, denoiser, dose=0.25, pixel_mm=PIXEL_MM, thickness_mm=2.5, strength=0.8)
    assert found.shares["soft tissue"] == pytest.approx(0.9, abs=0.06)


class Mean(torch.nn.Module):
    """The mean of three slices."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(1, keepdim=True)


def test_neighbours_are_denoised_each_for_itself():
    """The middle one with its neighbours, the others without theirs; the slice itself where it stands for one."""
    values = np.float32([10, 20, 40])[:, None, None] * np.ones((1, 32, 32), np.float32)
    denoise = AtStrength(Denoiser(Mean(), channels=3, context=1, full_field=True), 1.0)
    found = _denoised(values, denoise)[:, 16, 16]
    assert found == pytest.approx([10, 70 / 3, 40], abs=0.01)
    assert _denoised(values[[1, 1, 2]], denoise)[:, 16, 16] == pytest.approx([80 / 3, 80 / 3, 40], abs=0.01)
