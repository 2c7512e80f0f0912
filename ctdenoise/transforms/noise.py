"""CT noise for training: Gaussian noise with the texture of filtered back-projection, and noise of simulated scans."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform
from numpy.typing import NDArray

from ctdenoise.noise.along_normal import MAX_CORRELATION, correlate


class RandCTNoise(RandomizableTransform):
    """Add Gaussian noise with the power spectrum of a reconstruction, |f| · H(f)².

    |f| is the spectrum of filtered back-projection from rays with independent noise (Riederer, Pelc & Chesler 1978); H
    is the kernel's apodisation, here exp(−(f / f_c)²). The noise is stationary; that of a scan is nearly so only in
    small crops.

    Parameters
    ----------
    std
        Lowest and highest standard deviation, in the units of the image; drawn uniformly.
    cutoff
        Lowest and highest f_c, in cycles per pixel; drawn uniformly. 0.25 is a smooth kernel, 1 a sharp one.
    white
        Probability of white noise instead.
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
            # rfft2 stores half of the spectrum: all columns except the first and the Nyquist column count twice.
            weight = np.full(amplitude.shape[1], 2.0)
            weight[0] = 1.0
            if columns % 2 == 0:
                weight[-1] = 1.0
            white = shaped / np.sqrt((amplitude**2 * weight).sum() / (rows * columns))
        self._noise = (std * white).astype(np.float32)

    def __call__(self, img: NdarrayOrTensor, randomize: bool = True) -> NdarrayOrTensor:
        """Add noise to ``[C, H, W]``; the noise of the channels is independent."""
        if randomize:
            self.randomize(img)
        return img + (torch.from_numpy(self._noise) if isinstance(img, torch.Tensor) else self._noise)


class RandCTNoised(RandomizableTransform, MapTransform):
    """Dictionary form of :class:`RandCTNoise`; the noise of the keys is independent."""

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
    """Add noise of simulated scans: realisations that are cropped, flipped and transposed at random, and scaled.

    Parameters
    ----------
    keys
        Images, ``[C, H, W]``. The channels get noise of one texture. For images larger than a realisation, the
        realisation is extended by reflection.
    bank
        Realisations, ``[H, W]`` of standard deviation 1, from :func:`~ctdenoise.noise.bank.noise_bank`.
    std
        Lowest and highest standard deviation, in the units of the image; drawn log-uniformly.
    white
        Probability of white noise instead.
    correlation
        Lowest and highest correlation, 0 to 0.7, of the noise of neighbouring channels, drawn uniformly; see
        :mod:`~ctdenoise.noise.along_normal`.

    Raises
    ------
    ValueError
        If the correlations are out of range.
    """

    def __init__(
        self,
        keys: KeysCollection,
        bank: Sequence[NDArray[np.float32]],
        *,
        std: tuple[float, float],
        white: float = 0.0,
        correlation: tuple[float, float] = (0.0, 0.0),
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not 0 <= correlation[0] <= correlation[1] <= MAX_CORRELATION:
            raise ValueError(f"correlation: expected 0 ≤ lowest ≤ highest ≤ 0.7, found {correlation}")
        self.bank = bank
        self.std = std
        self.white = white
        self.correlation = correlation

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
        # Without correlation no further number is drawn: seeds give the noise that they gave without this parameter.
        correlation = self.R.uniform(*self.correlation) if self.correlation[1] else 0.0
        channels, rows, columns = shape
        count = channels + 2 if correlation else channels
        if white:
            noise = self.R.normal(size=(count, rows, columns))
        else:
            realisation = self.bank[self.R.randint(len(self.bank))]
            noise = np.stack([self._crop(realisation, rows, columns) for _ in range(count)])
        if correlation:
            noise = correlate(noise, correlation)
        scaled: NDArray[np.float32] = (std * noise).astype(np.float32)
        return scaled

    def _crop(self, realisation: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
        """Return a random crop of a realisation, flipped and transposed at random."""
        size = rows, columns
        missing = [(0, max(0, needed - present)) for needed, present in zip(size, realisation.shape, strict=True)]
        if any(after for _, after in missing):
            realisation = np.pad(realisation, missing, mode="symmetric")
        top, left = (
            self.R.randint(present - needed + 1) for needed, present in zip(size, realisation.shape, strict=True)
        )
        crop: NDArray[np.float32] = realisation[top : top + rows, left : left + columns]
        if self.R.uniform() < 0.5:
            crop = crop[::-1]
        if self.R.uniform() < 0.5:
            crop = crop[:, ::-1]
        return crop.T if rows == columns and self.R.uniform() < 0.5 else crop
