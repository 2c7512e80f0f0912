"""CT noise for training: Gaussian, with the texture that filtered back-projection gives it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform
from numpy.typing import NDArray


class RandCTNoise(RandomizableTransform):
    """Add Gaussian noise whose power spectrum is that of a reconstruction, |f| · H(f)².

    The ramp |f| is what filtered back-projection makes of independent rays (Riederer, Pelc & Chesler 1978); H is the
    kernel's apodisation, here exp(−(f / f_c)²). Small images are the place for it: there the noise of a scan is nearly
    stationary.

    Parameters
    ----------
    std
        Lowest and highest standard deviation, in the units of the image; drawn uniformly.
    cutoff
        Lowest and highest f_c, in cycles per pixel; drawn uniformly. 0.25 is a smooth kernel, 1 a sharp one.
    white
        Share of images that get white noise instead.
    """

    def __init__(
        self, std: tuple[float, float], *, cutoff: tuple[float, float] = (0.2, 1.0), white: float = 0.0
    ) -> None:
        super().__init__(prob=1.0)
        self.std = std
        self.cutoff = cutoff
        self.white = white
        self._noise: NDArray[np.float32] = np.zeros((), np.float32)

    def randomize(self, data: Any) -> None:
        """Draw the noise for an image of the shape of `data`, ``[C, H, W]``."""
        super().randomize(None)
        white = self.R.normal(size=data.shape)
        std = self.R.uniform(*self.std)
        cutoff = self.R.uniform(*self.cutoff)
        if self.R.uniform() >= self.white:
            rows, columns = data.shape[-2:]
            frequency = np.hypot(np.fft.fftfreq(rows)[:, np.newaxis], np.fft.rfftfreq(columns))
            amplitude = np.sqrt(frequency) * np.exp(-((frequency / cutoff) ** 2))
            shaped = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(rows, columns))
            # Each frequency but those of the first and last column stands for two.
            weight = np.full(amplitude.shape[1], 2.0)
            weight[0] = 1.0
            if columns % 2 == 0:
                weight[-1] = 1.0
            white = shaped / np.sqrt((amplitude**2 * weight).sum() / (rows * columns))
        self._noise = (std * white).astype(np.float32)

    def __call__(self, img: NdarrayOrTensor, randomize: bool = True) -> NdarrayOrTensor:
        """Add noise to ``[C, H, W]``, to each channel its own."""
        if randomize:
            self.randomize(img)
        return img + (torch.from_numpy(self._noise) if isinstance(img, torch.Tensor) else self._noise)


class RandCTNoised(RandomizableTransform, MapTransform):
    """Dictionary form of :class:`RandCTNoise`; each key gets noise of its own."""

    def __init__(
        self,
        keys: KeysCollection,
        std: tuple[float, float],
        *,
        cutoff: tuple[float, float] = (0.2, 1.0),
        white: float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self._add = RandCTNoise(std, cutoff=cutoff, white=white)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandCTNoised:
        """Set the random state of this transform and of its array form."""
        super().set_random_state(seed, state)
        self._add.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Add noise to each key."""
        return {**data, **{key: self._add(data[key]) for key in self.key_iterator(data)}}


class RandBankNoised(RandomizableTransform, MapTransform):
    """Add the noise of scans: realisations cropped at random, flipped, rotated by multiples of 90° and scaled.

    Parameters
    ----------
    keys
        Images, ``[C, H, W]``; each channel gets noise of its own. Larger ones than a realisation see its mirror image.
    bank
        Realisations, ``[H, W]`` of standard deviation 1, from :func:`~ctdenoise.noise.bank.noise_bank`.
    std
        Lowest and highest standard deviation, in units of the image; log-uniform.
    white
        Share of images that get white noise instead.
    """

    def __init__(
        self,
        keys: KeysCollection,
        bank: Sequence[NDArray[np.float32]],
        *,
        std: tuple[float, float],
        white: float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.bank = bank
        self.std = std
        self.white = white

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Add noise to each key."""
        result = dict(data)
        for key in self.key_iterator(data):
            noise = self._noise(data[key].shape)
            result[key] = data[key] + (torch.from_numpy(noise) if isinstance(data[key], torch.Tensor) else noise)
        return result

    def _noise(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        std = np.exp(self.R.uniform(*np.log(self.std)))
        white = self.R.uniform() < self.white
        noise = self.R.normal(size=shape) if white else np.stack([self._piece(*shape[1:]) for _ in range(shape[0])])
        scaled: NDArray[np.float32] = (std * noise).astype(np.float32)
        return scaled

    def _piece(self, rows: int, columns: int) -> NDArray[np.float32]:
        field = self.bank[self.R.randint(len(self.bank))]
        missing = [(0, max(0, wanted - there)) for wanted, there in zip((rows, columns), field.shape, strict=True)]
        if any(after for _, after in missing):
            field = np.pad(field, missing, mode="symmetric")
        top, left = (
            self.R.randint(there - wanted + 1) for wanted, there in zip((rows, columns), field.shape, strict=True)
        )
        crop: NDArray[np.float32] = field[top : top + rows, left : left + columns]
        if self.R.uniform() < 0.5:
            crop = crop[::-1]
        if self.R.uniform() < 0.5:
            crop = crop[:, ::-1]
        return crop.T if rows == columns and self.R.uniform() < 0.5 else crop
