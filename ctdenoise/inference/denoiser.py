"""The public class: HU in, HU out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, InvertibleTransform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.inference.calibration import choose
from ctdenoise.inference.engines import Engine, build
from ctdenoise.inference.field import TILE_MARGIN, affordable_pixels, apply_in_tiles, body_box
from ctdenoise.inference.options import RunOptions, check_strength
from ctdenoise.inference.results import Progress, SeriesResult
from ctdenoise.inference.series import denoise_folder
from ctdenoise.inference.strength import automatic_strength, some_of
from ctdenoise.io.dicom.pixels import OUTSIDE_FIELD_HU
from ctdenoise.models.denoiser import SIZE_MULTIPLE, NetworkConfig, apply_to_any_size
from ctdenoise.models.zoo import DEFAULT_MODEL, ModelDescription, load_model
from ctdenoise.transforms import ScaleHU, ToClipInput
from ctdenoise.transforms.hounsfield import HU_RANGE


class Denoiser:
    """Denoise CT slices.

    Parameters
    ----------
    network
        Takes ``[B, C, H, W]`` in [0, 1] with H and W multiples of 16, and returns the same size; the first channel
        of what it returns is the image.
    hu_range
        HU that become 0 and 1; None for a network of photographs.
    channels
        What the network takes: 3 for colour or the grey channel repeated, 1 for grey.
    device
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    batch_size
        Slices that go through the network at once, at most; None is 16 on a GPU and 1 elsewhere. Fewer where memory
        does not suffice, and where it does not for one, tiles of it.
    engine
        How the network is run: ``"auto"`` or one of :data:`~ctdenoise.inference.engines.ENGINES`.
    full_field
        Send whole slices through the network; otherwise rows and columns of air around the body stay as they are, and
        HU in the body differ by less than 0.05 (root mean square) from what whole slices give.
    description
        The model's, for manifests; None for a network that is not from the zoo.

    Examples
    --------
    >>> denoiser = Denoiser.from_pretrained("ct-lowdose")
    >>> clean = denoiser(volume_hu)
    >>> denoiser.denoise_series("study/", "denoised/")

    Raises
    ------
    InputError
        If the device or the engine is not there.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        hu_range: tuple[float, float] | None = HU_RANGE,
        channels: int = 3,
        device: str = "auto",
        batch_size: int | None = None,
        engine: str = "auto",
        full_field: bool = True,
        description: ModelDescription | None = None,
    ) -> None:
        self.device = _device(device)
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.description = description
        self.batch_size = batch_size or (16 if self.device.type == "cuda" else 1)
        self.full_field = full_field
        self._wanted = engine
        self._engine = None if engine == "auto" else build(engine, network, self.device, channels=channels)
        self._expected = 0
        self._most_pixels = affordable_pixels(self.device)
        self.channels = channels
        self.hu_range = hu_range
        steps: list[InvertibleTransform | Callable[..., object]] = [ScaleHU(hu_range)] if hu_range else []
        if channels == 3:
            steps.append(ToClipInput())
        self._to_network = Compose(steps)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        engine: str = "auto",
        full_field: bool = False,
    ) -> Denoiser:
        """Load a model of the zoo, or a folder with a ``model.json``.

        Raises
        ------
        InputError
            If there is no such model or its weights are not the ones it names.
        """
        network, description = load_model(name_or_path)
        config = NetworkConfig(**description.network)
        return cls(
            network,
            hu_range=description.hu_range,
            channels=config.in_channels,
            device=device,
            batch_size=batch_size,
            engine=engine,
            # Where corners are aligned, as in the authors' weights, every pixel depends on the image's size.
            full_field=full_field or config.align_corners,
            description=description,
        )

    @property
    def engine(self) -> str:
        """The engine's name; ``"auto"`` until the first slice."""
        return self._engine.name if self._engine else self._wanted

    def expect(self, slices: int) -> None:
        """Say how many slices will come, so that ``auto`` chooses an engine whose set-up pays."""
        if slices > self._expected:
            self._expected = slices
            if self._wanted == "auto":
                self._engine = None

    @torch.inference_mode()
    def __call__(
        self,
        hu: NDArray[np.floating],
        *,
        strength: float | None = None,
        pixel_mm: float | None = None,
        thickness_mm: float | None = None,
    ) -> NDArray[np.float32]:
        """Denoise.

        Parameters
        ----------
        hu
            ``[H, W]`` or ``[D, H, W]``, any size, HU. Values above the model's range (metal) and those below −1400 HU
            (outside the field of view, air to the network) pass through.
        strength
            0 returns the source, 1 the network's output, values in between blend linearly. None leaves about the
            noise of a full-dose scan: see :func:`~ctdenoise.inference.strength.automatic_strength`.
        pixel_mm, thickness_mm
            Pixel spacing and slice thickness, where they are known; for the automatic strength only.

        Returns
        -------
        ndarray
            Same shape, float32 HU.

        Raises
        ------
        InputError
            If the model is one of photographs, or memory does not suffice.
        ValueError
            If shape or strength are not as above.
        """
        check_strength(strength)
        if self.hu_range is None:
            raise InputError(
                "expected a model of CT, found one of photographs", hint="ctdenoise models list shows what there is"
            )
        volume = np.asarray(hu, np.float32)
        if volume.ndim not in (2, 3) or 0 in volume.shape:
            raise ValueError(f"expected HU of shape [H, W] or [D, H, W], found {volume.shape}")
        slices = volume.reshape(-1, *volume.shape[-2:])
        if strength is None:
            strength = automatic_strength(some_of(list(slices)), pixel_mm, thickness_mm)
        self.expect(len(slices))
        batches = [self._denoise_batch(part, strength) for part in _batches(slices, self.batch_size)]
        return np.concatenate(batches).reshape(volume.shape)

    @torch.inference_mode()
    def denoise_image(self, image: NDArray[np.floating], *, strength: float = 1.0) -> NDArray[np.float32]:
        """Denoise a photograph.

        Parameters
        ----------
        image
            ``[H, W, 1]`` or ``[H, W, 3]``, any size, [0, 1]. A colour network sees grey as three equal channels; a
            grey network sees colours one by one.
        strength
            0 returns the source, 1 the network's output, values in between blend linearly.

        Returns
        -------
        ndarray
            Same shape, float32, not clipped.

        Raises
        ------
        InputError
            If the model is one of CT.
        ValueError
            If shape or strength are not as above.
        """
        check_strength(strength)
        if self.hu_range is not None:
            raise InputError(
                "expected a model of photographs, found one of CT",
                hint="a photograph has no HU; name another with --model",
            )
        source = np.asarray(image, np.float32)
        if source.ndim != 3 or source.shape[2] not in (1, 3) or 0 in source.shape:
            raise ValueError(f"expected [H, W, 1] or [H, W, 3], found {source.shape}")
        channels = source.transpose(2, 0, 1)
        if channels.shape[0] == 3 == self.channels:
            clean = self._apply(torch.from_numpy(channels.copy())[np.newaxis])[0].numpy()
        else:
            inputs = [convert_to_tensor(self._to_network(c[np.newaxis]), track_meta=False) for c in channels]
            clean = self._apply(torch.stack(inputs)).mean(dim=1).numpy()
        return source + np.float32(strength) * (clean.transpose(1, 2, 0) - source)

    def denoise_series(
        self, source: str | Path, output: str | Path, *, progress: Progress | None = None, **options: Any
    ) -> list[SeriesResult]:
        """Denoise the DICOM series in a file, folder or zip archive.

        Parameters
        ----------
        source, output
            `output` must not be inside `source`.
        progress
            Told how it goes on.
        options
            Fields of :class:`~ctdenoise.inference.options.RunOptions`, e.g. ``strength=0.8``.

        Raises
        ------
        InputError
            If there is nothing to denoise, or `output` cannot be used.
        """
        told = RunOptions(**options)
        return denoise_folder(self, Path(source), Path(output), progress=progress, options=told).results

    def _denoise_batch(self, hu: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        assert self.hu_range is not None
        lowest, highest = self.hu_range
        multiple = self._engine.multiple if self._engine else SIZE_MULTIPLE
        box = (slice(None), slice(None)) if self.full_field else body_box(hu, multiple)
        if box is None:
            return hu
        seen = hu[:, *box]
        # Plain tensors: MONAI's MetaTensor would follow every layer of the network, at a price.
        inputs = [
            convert_to_tensor(self._to_network(image[np.newaxis]), track_meta=False)
            for image in np.where(seen < OUTSIDE_FIELD_HU, lowest, np.minimum(seen, highest))
        ]
        output = self._apply(torch.stack(inputs))
        clean = np.stack([np.asarray(self._to_network.inverse(image))[0] for image in output])
        blended = clean if strength == 1 else seen + np.float32(strength) * (clean - seen)
        result = hu.copy()
        result[:, *box] = np.where((seen < OUTSIDE_FIELD_HU) | (seen > highest), seen, blended)
        return result

    def _apply(self, batch: Tensor) -> Tensor:
        """Send ``[B, C, H, W]`` of any size through the network, as much at once as memory holds."""
        batch = batch.to(self.device)
        if self._engine is None:
            self._engine = self._choose(_centre(batch[:1]))
        run = partial(apply_to_any_size, self._engine.apply)
        rows, columns = batch.shape[-2:]
        while True:
            side = isqrt(self._most_pixels) // SIZE_MULTIPLE * SIZE_MULTIPLE
            try:
                if rows * columns <= self._most_pixels:
                    self.batch_size = min(self.batch_size, self._most_pixels // (rows * columns))
                    return torch.cat([run(part).float().cpu() for part in torch.split(batch, self.batch_size)])
                if side <= 2 * TILE_MARGIN:
                    raise InputError(f"not enough memory for one slice of {rows}×{columns}", hint="try --device cpu")
                return torch.cat([apply_in_tiles(run, image[np.newaxis], side).float().cpu() for image in batch])
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._most_pixels = int(0.7 * min(self._most_pixels, batch.shape[0] * rows * columns))

    def _choose(self, probe: Tensor) -> Engine:
        low, high = self.hu_range or HU_RANGE
        name = self.description.sha256 if self.description else ""
        if not name:  # a network that nobody knows has costs that nobody remembers
            return build("eager", self.network, self.device, channels=self.channels)
        return choose(
            self.network,
            apply_to_any_size(lambda image: image, probe),
            slices=self._expected,
            channels=self.channels,
            device=self.device,
            name=name,
            width=high - low,
        )


def _centre(image: Tensor, most: int = 512) -> Tensor:
    """What memory holds of any image, to try engines on."""
    rows, columns = (slice(max(0, n - most) // 2, (n + min(n, most)) // 2) for n in image.shape[-2:])
    return image[..., rows, columns]


def _batches(slices: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    return [slices[first : first + size] for first in range(0, len(slices), size)]


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)


def _device(name: str) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    kind, _, index = name.partition(":")
    if not there.get(kind) or not (index == "" or index.isdecimal()):
        usable = ", ".join(kind for kind, available in there.items() if available)
        raise InputError(f"device: expected auto or one of {usable}, found {name}")
    return torch.device(name)
