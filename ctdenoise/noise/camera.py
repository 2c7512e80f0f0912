"""Camera noise: convert a photograph to raw sensor data, add noise there, and process it to a photograph again.

The order of the steps is that of CBDNet (Guo et al., CVPR 2019), the steps are those of *Unprocessing Images for
Learned Raw Denoising* (Brooks et al., CVPR 2019). Photographs are ``[3, H, W]`` float tensors in [0, 1]; raw images are
``[1, H, W]`` with the RGGB pattern.
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
#: Smallest value whose power is taken, as in the code of Brooks et al.
_SMALLEST = 1e-8


@dataclass(frozen=True)
class Camera:
    """Parameters of a camera's image processing.

    Attributes
    ----------
    rgb_to_camera
        Colour matrix from linear sRGB to camera RGB, ``[3, 3]``; its rows sum to 1, so that white stays white.
    gains
        White-balance gains of red, green and blue; at least 1.
    tone_curve
        Whether the response has a smoothstep tone curve after the gamma of 2.2.
    """

    rgb_to_camera: Tensor
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tone_curve: bool = True


def random_camera(rng: np.random.RandomState) -> Camera:
    """Draw a camera: a random mixture of four colour matrices, and a random white balance (Brooks et al., §3)."""
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
    """Convert a photograph to linear sRGB: undo tone curve and gamma."""
    x = image.clamp(0, 1)
    if camera.tone_curve:
        x = 0.5 - torch.sin(torch.asin(1 - 2 * x) / 3)
    return x.clamp(min=_SMALLEST) ** _GAMMA


def response(linear: Tensor, camera: Camera) -> Tensor:
    """Convert linear sRGB to a photograph: apply gamma and tone curve."""
    x = linear.clamp(_SMALLEST, 1) ** (1 / _GAMMA)
    return 3 * x**2 - 2 * x**3 if camera.tone_curve else x


def to_sensor(image: Tensor, camera: Camera) -> Tensor:
    """Convert a photograph to the sensor's signal behind each colour filter, ``[3, H, W]``, before white balance."""
    linear = inverse_response(image, camera)
    return torch.einsum("ij,jhw->ihw", camera.rgb_to_camera, linear) / _gains(camera)


def from_sensor(sensor: Tensor, camera: Camera) -> Tensor:
    """Convert the sensor's signal, ``[3, H, W]``, to a photograph: white balance, colour matrix, response."""
    balanced = (sensor * _gains(camera)).clamp(max=1)
    return response(torch.einsum("ij,jhw->ihw", torch.linalg.inv(camera.rgb_to_camera), balanced), camera)


def _gains(camera: Camera) -> Tensor:
    return torch.tensor(camera.gains).reshape(3, 1, 1)


def mosaic(sensor: Tensor) -> Tensor:
    """Keep one colour of each pixel, in the RGGB pattern: ``[3, H, W]`` to ``[1, H, W]``."""
    return (sensor * _pattern(*sensor.shape[-2:])).sum(0, keepdim=True)


def demosaic(raw: Tensor) -> Tensor:
    """Interpolate the missing colours, ``[1, H, W]`` RGGB to ``[3, H, W]`` (Malvar, He & Cutler, ICASSP 2004)."""
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
    """Return the masks of the pixels with red, green and blue filters, ``[3, H, W]``."""
    odd_row, odd_column = torch.arange(rows)[:, None] % 2 == 1, torch.arange(columns) % 2 == 1
    return torch.stack((~odd_row & ~odd_column, odd_row ^ odd_column, odd_row & odd_column)).float()


@functools.lru_cache(maxsize=1)
def _malvar() -> Tensor:
    """Return the interpolation filters, ``[4, 1, 5, 5]``.

    In this order: green at red or blue pixels; red or blue at green pixels, for the colour in the same row and for the
    colour in the same column; red at blue and blue at red pixels.
    """
    green = [[0, 0, -2, 0, 0], [0, 0, 4, 0, 0], [-2, 4, 8, 4, -2], [0, 0, 4, 0, 0], [0, 0, -2, 0, 0]]
    in_row = [[0, 0, 1, 0, 0], [0, -2, 0, -2, 0], [-2, 8, 10, 8, -2], [0, -2, 0, -2, 0], [0, 0, 1, 0, 0]]
    diagonal = [[0, 0, -3, 0, 0], [0, 4, 0, 4, 0], [-3, 0, 12, 0, -3], [0, 4, 0, 4, 0], [0, 0, -3, 0, 0]]
    filters = torch.tensor([green, in_row, torch.tensor(in_row).T.tolist(), diagonal], dtype=torch.float32) / 16
    return filters[:, None]


def noise_variance(raw: Tensor, shot: float, read: float) -> Tensor:
    """Return the variance of Poisson-Gaussian noise, σs²·L + σc² for the signal L (CBDNet, §3.1; Foi et al. 2008)."""
    return shot**2 * raw.clamp(min=0) + read**2


def photograph_pair(
    image: Tensor, camera: Camera, *, shot: float, read: float, rng: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Simulate two photographs with the same camera, with and without noise.

    Both are mosaicked, demosaicked and processed by the camera, so they differ only in the noise.

    Parameters
    ----------
    image
        The original photograph, ``[3, H, W]`` in [0, 1], at least 3×3.
    camera
        The camera of both photographs.
    shot, read
        σs and σc of :func:`noise_variance`; the sensor's full scale is 1.
    rng
        Random generator of the noise.

    Returns
    -------
    tuple
        Noisy and clean photograph, ``[3, H, W]`` in [0, 1].
    """
    raw = mosaic(to_sensor(image, camera))
    normal = torch.from_numpy(rng.normal(size=raw.shape).astype(np.float32))
    noisy = raw + noise_variance(raw, shot, read).sqrt() * normal
    developed = [from_sensor(demosaic(signal.clamp(0, 1)), camera).clamp(0, 1) for signal in (noisy, raw)]
    return developed[0], developed[1]
