"""Camera noise: a photograph back to the sensor, noise where it arises, and through the camera again.

The order of operations is CBDNet's (Guo et al., CVPR 2019), the parts are those of *Unprocessing Images for Learned
Raw Denoising* (Brooks et al., CVPR 2019). Images are ``[3, H, W]`` float tensors in [0, 1], raw ones ``[1, H, W]`` in
the RGGB pattern.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: XYZ to camera RGB of four cameras (Adobe DNG colour matrices, as used by Brooks et al.).
_XYZ_TO_CAMERA = (
    ((1.0234, -0.2969, -0.2266), (-0.5625, 1.6328, -0.0469), (-0.0703, 0.2188, 0.6406)),
    ((0.4913, -0.0541, -0.0202), (-0.6130, 1.3513, 0.2906), (-0.1564, 0.2151, 0.7183)),
    ((0.8380, -0.2630, -0.0639), (-0.2887, 1.0725, 0.2496), (-0.0627, 0.1427, 0.5438)),
    ((0.6596, -0.2079, -0.0562), (-0.4782, 1.3016, 0.1933), (-0.0970, 0.1581, 0.5181)),
)
#: Linear sRGB to XYZ, D65 (IEC 61966-2-1).
_RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_GAMMA = 2.2
_SMALLEST = 1e-8


@dataclass(frozen=True)
class Camera:
    """What a camera does to light.

    Attributes
    ----------
    rgb_to_camera
        ``[3, 3]``: linear sRGB to camera RGB, rows summing to 1 so that white stays white.
    gains
        White balance: what red, green and blue are multiplied by; at least 1.
    tone_curve
        Whether the response has a smoothstep tone curve behind its gamma of 2.2.
    """

    rgb_to_camera: Tensor
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tone_curve: bool = True


def random_camera(rng: np.random.RandomState) -> Camera:
    """Draw a camera: a mixture of four real ones' colours, white balance of daylight to tungsten (Brooks et al. §3)."""
    weights = rng.uniform(1e-8, 1, size=(len(_XYZ_TO_CAMERA), 1, 1))
    xyz_to_camera = (np.array(_XYZ_TO_CAMERA) * weights).sum(0) / weights.sum()
    matrix = xyz_to_camera @ np.array(_RGB_TO_XYZ)
    matrix /= matrix.sum(axis=1, keepdims=True)
    brightness = 1 / max(rng.normal(0.8, 0.1), 0.5)
    red, blue = rng.uniform(1.9, 2.4), rng.uniform(1.5, 1.9)
    return Camera(
        torch.tensor(matrix, dtype=torch.float32),
        (max(1.0, brightness * red), max(1.0, brightness), max(1.0, brightness * blue)),
        tone_curve=bool(rng.uniform() < 0.5),
    )


def inverse_response(image: Tensor, camera: Camera) -> Tensor:
    """Photograph to linear sRGB: undo tone curve and gamma."""
    x = image.clamp(0, 1)
    if camera.tone_curve:
        x = 0.5 - torch.sin(torch.asin(1 - 2 * x) / 3)
    return x.clamp(min=_SMALLEST) ** _GAMMA


def response(linear: Tensor, camera: Camera) -> Tensor:
    """Linear sRGB to photograph: gamma and tone curve."""
    x = linear.clamp(_SMALLEST, 1) ** (1 / _GAMMA)
    return 3 * x**2 - 2 * x**3 if camera.tone_curve else x


def to_sensor(image: Tensor, camera: Camera) -> Tensor:
    """Photograph to camera RGB before white balance, ``[3, H, W]``: what the sensor would see behind each filter."""
    linear = inverse_response(image, camera)
    return torch.einsum("ij,jhw->ihw", camera.rgb_to_camera, linear) / _gains(camera)


def from_sensor(sensor: Tensor, camera: Camera) -> Tensor:
    """Camera RGB to photograph: white balance, colour matrix, response."""
    balanced = (sensor * _gains(camera)).clamp(max=1)
    return response(torch.einsum("ij,jhw->ihw", torch.linalg.inv(camera.rgb_to_camera), balanced), camera)


def _gains(camera: Camera) -> Tensor:
    return torch.tensor(camera.gains).reshape(3, 1, 1)


def mosaic(sensor: Tensor) -> Tensor:
    """``[3, H, W]`` to ``[1, H, W]``: one colour a pixel, RGGB."""
    return (sensor * _pattern(*sensor.shape[-2:])).sum(0, keepdim=True)


def demosaic(raw: Tensor) -> Tensor:
    """``[1, H, W]`` RGGB to ``[3, H, W]``: gradient-corrected, linear (Malvar, He & Cutler, ICASSP 2004)."""
    rows, columns = raw.shape[-2:]
    padded = F.pad(raw[None], (2, 2, 2, 2), mode="reflect")
    green, in_row, in_column, diagonal = F.conv2d(padded, _malvar())[0]
    at_red, at_green, at_blue = _pattern(rows, columns).bool()
    red_rows = torch.arange(rows)[:, None] % 2 == 0
    value = raw[0]
    red = torch.where(at_red, value, torch.where(at_blue, diagonal, torch.where(red_rows, in_row, in_column)))
    blue = torch.where(at_blue, value, torch.where(at_red, diagonal, torch.where(red_rows, in_column, in_row)))
    return torch.stack((red, torch.where(at_green, value, green), blue))


@functools.lru_cache(maxsize=8)
def _pattern(rows: int, columns: int) -> Tensor:
    """Where the sensor has its red, green and blue filters, ``[3, H, W]``."""
    odd_row, odd_column = torch.arange(rows)[:, None] % 2 == 1, torch.arange(columns) % 2 == 1
    return torch.stack((~odd_row & ~odd_column, odd_row ^ odd_column, odd_row & odd_column)).float()


@functools.lru_cache(maxsize=1)
def _malvar() -> Tensor:
    """Filters ``[4, 1, 5, 5]``: green at red or blue; red/blue at green, from its row and its column; at blue/red."""
    green = [[0, 0, -2, 0, 0], [0, 0, 4, 0, 0], [-2, 4, 8, 4, -2], [0, 0, 4, 0, 0], [0, 0, -2, 0, 0]]
    in_row = [[0, 0, 1, 0, 0], [0, -2, 0, -2, 0], [-2, 8, 10, 8, -2], [0, -2, 0, -2, 0], [0, 0, 1, 0, 0]]
    diagonal = [[0, 0, -3, 0, 0], [0, 4, 0, 4, 0], [-3, 0, 12, 0, -3], [0, 4, 0, 4, 0], [0, 0, -3, 0, 0]]
    filters = torch.tensor([green, in_row, torch.tensor(in_row).T.tolist(), diagonal], dtype=torch.float32) / 16
    return filters[:, None]


def noise_variance(raw: Tensor, shot: float, read: float) -> Tensor:
    """Variance of Poisson-Gaussian noise, σs²·L + σc² for a signal L ≥ 0 (CBDNet §3.1; Foi et al. 2008)."""
    return shot**2 * raw.clamp(min=0) + read**2


def photograph_pair(
    image: Tensor, camera: Camera, *, shot: float, read: float, rng: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Take a photograph twice with the same camera: with noise, and without.

    Both go through mosaic, demosaic and response, so that noise is all they differ in.

    Parameters
    ----------
    image
        ``[3, H, W]`` in [0, 1], at least 3×3.
    camera
        Taken for both.
    shot, read
        σs and σc, in units of the sensor's full scale.
    rng
        Of the noise.

    Returns
    -------
    tuple
        Noisy and clean, ``[3, H, W]`` in [0, 1].
    """
    raw = mosaic(to_sensor(image, camera))
    normal = torch.from_numpy(rng.normal(size=raw.shape).astype(np.float32))
    noisy = raw + noise_variance(raw, shot, read).sqrt() * normal
    developed = [from_sensor(demosaic(signal.clamp(0, 1)), camera).clamp(0, 1) for signal in (noisy, raw)]
    return developed[0], developed[1]
