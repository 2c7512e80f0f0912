from __future__ import annotations

import numpy as np
import piq
import pytest
import torch
from scipy.ndimage import prewitt, uniform_filter
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio

from ctdenoise.evaluation import WINDOWS, Window, window_metrics
from ctdenoise.evaluation.metrics import default_measurements, lpips_weights, measure, photograph_measurements
from ctdenoise.evaluation.protocols import PROTOCOLS, Measurement
from ctdenoise.noise.phantom import render, thorax

RNG = np.random.default_rng(0)
REFERENCE = render(thorax(), 0, size=128, pixel_mm=2.8)
TEST = (REFERENCE + RNG.normal(3, 25, REFERENCE.shape)).astype(np.float32)
BATCH = [torch.from_numpy(image.astype(np.float64))[None, None] for image in (REFERENCE, TEST)]


def test_values_are_clipped_to_the_window_and_its_width_is_the_data_range():
    reference = np.zeros((2, 16, 16), np.float32)
    test = np.full((2, 16, 16), 40, np.float32)
    result = window_metrics(reference, test, WINDOWS["soft-tissue"])
    assert result["rmse"] == pytest.approx(40)
    assert result["psnr"] == pytest.approx(20)  # 20 log10(400 / 40)
    outside = window_metrics(reference + 1000, test + 2000, WINDOWS["soft-tissue"])
    assert outside["rmse"] == 0
    assert outside["ssim"] == 1


def test_metrics_are_means_over_slices():
    reference = np.zeros((2, 16, 16), np.float32)
    test = reference + np.array([10, 30], np.float32)[:, None, None]
    result = window_metrics(reference, test, WINDOWS["full"])
    assert result["rmse"] == pytest.approx(20)
    assert result["psnr"] == pytest.approx(np.mean(20 * np.log10(4096 / np.array([10, 30]))))


def zero_padded_ssim(a: torch.Tensor, b: torch.Tensor, width: float) -> float:
    """SSIM over the whole image by two-dimensional convolutions."""
    line = torch.exp(-((torch.arange(11.0, dtype=torch.float64) - 5) ** 2) / 4.5)
    window = torch.outer(line, line)[None, None] / line.sum() ** 2

    def mean(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(image, window, padding=5)

    covariance = mean(a * b) - mean(a) * mean(b)
    c1, c2 = (0.01 * width) ** 2, (0.03 * width) ** 2
    luminance = (2 * mean(a) * mean(b) + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
    variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


def masked_gmsd(reference: np.ndarray, test: np.ndarray, width: float, mask: np.ndarray) -> float:
    """GMSD of Xue et al. 2014 with SciPy: values scaled to 255, averaged and halved, Prewitt operator, c = 170."""
    even = tuple(slice(0, side // 2 * 2, 2) for side in reference.shape)

    def gradient(image: np.ndarray) -> np.ndarray:
        half = uniform_filter(image * (255 / width), 2, origin=-1)[even]
        return np.hypot(*(prewitt(half, axis, mode="constant") / 3 for axis in (0, 1)))

    a, b = gradient(reference), gradient(test)
    return float(((2 * a * b + 170) / (a**2 + b**2 + 170))[mask[even]].std())


@pytest.mark.parametrize("shape", [(128, 128), (127, 101)])
@pytest.mark.parametrize("masked", [False, True])
def test_gmsd_is_the_published_one_also_of_part_of_an_image(shape, masked):
    rows, columns = shape
    a, b = (np.clip(image[:rows, :columns].astype(np.float64), -160, 240) + 160 for image in (REFERENCE, TEST))
    mask = np.ones(shape, bool)
    if masked:
        mask[:40], mask[:, 90:] = False, False
        b = np.where(mask, b, a)
    found = measure(
        REFERENCE[:rows, :columns],
        TEST[:rows, :columns],
        Measurement(WINDOWS["soft-tissue"], ("gmsd",)),
        mask=mask if masked else None,
    )
    assert found["gmsd"] == pytest.approx(masked_gmsd(a, b, 400, mask), rel=1e-9)


def test_equal_and_constant_images_have_no_finite_value_and_no_warning(recwarn):
    constant = np.zeros((16, 16), np.float32)
    found = measure(constant, constant + 10, Measurement(WINDOWS["full"], ("psnr", "nrmse")))
    assert np.isinf(found["nrmse"])
    assert np.isinf(measure(constant, constant, Measurement(WINDOWS["full"], ("psnr",)))["psnr"])
    assert not recwarn.list


@pytest.mark.parametrize(
    ("protocol", "low", "high", "stretch"), [("redcnn", -160, 240, 1), ("paper", -1024, 3072, 4120 / 4096)]
)
def test_protocols_with_zero_padded_ssim_of_hu(protocol, low, high, stretch):
    (row,) = PROTOCOLS[protocol]
    found = measure(REFERENCE, TEST, row)
    a, b = (((image + 1024) * stretch - 1024).clamp(low, high) for image in BATCH)
    assert found["psnr"] == pytest.approx(float(peak_signal_noise_ratio(b, a, data_range=high - low)), abs=1e-4)
    assert found["ssim"] == pytest.approx(zero_padded_ssim(a, b, high - low), abs=1e-6)
    assert found["rmse"] == pytest.approx(float(((a - b) ** 2).mean().sqrt()), rel=1e-6)


def test_ldct_benchmark_has_a_window_for_each_exam_and_vif_up_to_bone():
    by_window = {row.window.name: measure(REFERENCE, TEST, row) for row in PROTOCOLS["ldct-benchmark"]}
    for name, centre, width in (("chest", -600, 1500), ("abdomen", 50, 400), ("neuro", 40, 80)):
        a, b = (np.clip((x - centre) / width + 0.5, 0, 1).astype(np.float64) for x in (REFERENCE, TEST))
        assert by_window[name]["psnr"] == pytest.approx(-10 * np.log10(np.mean((a - b) ** 2)), abs=1e-4)
        assert by_window[name]["ssim"] == pytest.approx(structural_similarity(a, b, data_range=1.0), abs=1e-6)
    a, b = ((image + 1024).clamp(0, 2924) for image in BATCH)
    assert by_window["up to bone"]["rmse"] == pytest.approx(float(((a - b) ** 2).mean().sqrt()))
    assert by_window["up to bone"]["vif"] == pytest.approx(vif(a, b), abs=1e-4)


def vif(a: torch.Tensor, b: torch.Tensor) -> float:
    """piq's, which scales to 255 what has another range; here it has not."""
    return float(piq.vif_p(b / 4096, a / 4096, sigma_n_sq=2.0 * (255 / 4096) ** 2, data_range=1.0))


def test_usual_metrics_agree_with_other_implementations():
    (row,) = default_measurements(["soft-tissue"])
    found = measure(REFERENCE, TEST, row)
    a, b = ((image + 160).clamp(0, 400) for image in BATCH)
    assert found["ssim"] == pytest.approx(float(piq.ssim(b, a, data_range=400.0, downsample=False)), abs=1e-6)
    assert found["gmsd"] == pytest.approx(float(piq.gmsd(b, a, data_range=400)), abs=1e-5)
    assert found["vif"] == pytest.approx(vif(a, b), abs=1e-3)
    assert found["mae"] == pytest.approx(float((a - b).abs().mean()))
    assert found["nrmse"] == pytest.approx(found["rmse"] / float(a.max() - a.min()))


def test_colour_images_are_measured_in_their_unit():
    rng = np.random.default_rng(1)
    a = rng.uniform(0.2, 0.8, (48, 64, 3)).astype(np.float32)
    b = (a + rng.normal(0, 0.05, a.shape)).astype(np.float32)
    (row,) = photograph_measurements()
    found = measure(a, b, row)
    one, other = (torch.from_numpy(x.astype(np.float64)).permute(2, 0, 1)[None] for x in (a, b))
    assert found["psnr"] == pytest.approx(float(peak_signal_noise_ratio(other, one, data_range=1.0)), abs=1e-4)
    assert found["gmsd"] == pytest.approx(float(piq.gmsd(other, one)), abs=1e-4)
    assert 0 < found["vif"] < 1


def test_a_mask_leaves_out_what_is_outside():
    mask = np.zeros(REFERENCE.shape, bool)
    mask[30:90, 30:90] = True
    broken = np.where(mask, REFERENCE, 3000).astype(np.float32)
    for row in (*default_measurements(["soft-tissue"]), *PROTOCOLS["redcnn"]):
        found = measure(REFERENCE, broken, row, mask=mask)
        assert found["rmse"] == 0
        assert found["psnr"] == float("inf")
        assert found["ssim"] == pytest.approx(1)
    inside = measure(REFERENCE, np.where(mask, TEST, REFERENCE), Measurement(WINDOWS["full"], ("rmse",)), mask=mask)
    assert inside["rmse"] == pytest.approx(float(np.sqrt(np.mean((TEST - REFERENCE)[mask] ** 2))), rel=1e-4)


def test_slow_metrics_can_wait_and_small_images_have_no_vif():
    (row,) = default_measurements(["full"])
    assert "vif" not in measure(REFERENCE, TEST, row, slow=False)
    assert np.isnan(measure(REFERENCE[:40], TEST[:40], row)["vif"])


def test_lpips_is_for_those_who_have_its_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lpips_weights() is None
    weights = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert lpips_weights() == weights


@pytest.mark.slow
def test_lpips_of_alexnet_grows_with_the_difference(tmp_path, monkeypatch):
    from torchvision.models import alexnet

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(alexnet().state_dict(), tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth")
    row = Measurement(Window("soft-tissue", -160, 240), ("lpips",))
    noise = TEST - REFERENCE
    values = [measure(REFERENCE, REFERENCE + k * noise, row)["lpips"] for k in (0, 0.5, 2)]
    assert values[0] == 0 < values[1] < values[2]
