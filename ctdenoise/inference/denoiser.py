"""The public class: HU in, HU out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, InvertibleTransform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.inference.options import RunOptions, check_strength
from ctdenoise.inference.results import Progress, SeriesResult
from ctdenoise.inference.series import denoise_folder
from ctdenoise.inference.strength import automatic_strength, some_of
from ctdenoise.models.denoiser import NetworkConfig, apply_to_any_size
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
        Slices that go through the network at once; halved for good where memory does not suffice.
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
        If the device is not there.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        hu_range: tuple[float, float] | None = HU_RANGE,
        channels: int = 3,
        device: str = "auto",
        batch_size: int = 1,
        description: ModelDescription | None = None,
    ) -> None:
        self.device = _device(device)
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.description = description
        self.batch_size = batch_size
        self.channels = channels
        self.hu_range = hu_range
        steps: list[InvertibleTransform | Callable[..., object]] = [ScaleHU(hu_range)] if hu_range else []
        if channels == 3:
            steps.append(ToClipInput())
        self._to_network = Compose(steps)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path = DEFAULT_MODEL, *, device: str = "auto", batch_size: int = 1
    ) -> Denoiser:
        """Load a model of the zoo, or a folder with a ``model.json``.

        Raises
        ------
        InputError
            If there is no such model or its weights are not the ones it names.
        """
        network, description = load_model(name_or_path)
        return cls(
            network,
            hu_range=description.hu_range,
            channels=NetworkConfig(**description.network).in_channels,
            device=device,
            batch_size=batch_size,
            description=description,
        )

    @torch.inference_mode()
    def __call__(
        self, hu: NDArray[np.floating], *, strength: float | None = None, pixel_mm: float = 0.7
    ) -> NDArray[np.float32]:
        """Denoise.

        Parameters
        ----------
        hu
            ``[H, W]`` or ``[D, H, W]``, any size, HU. Values above the model's range (metal) pass through.
        strength
            0 returns the source, 1 the network's output, values in between blend linearly. None leaves about the
            noise of a full-dose scan: see :func:`~ctdenoise.inference.strength.automatic_strength`.
        pixel_mm
            Pixel spacing, for the automatic strength only.

        Returns
        -------
        ndarray
            Same shape, float32 HU.

        Raises
        ------
        InputError
            If the model is one of photographs, or memory does not suffice for one slice.
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
            strength = automatic_strength(some_of(list(slices)), pixel_mm)
        clean: list[NDArray[np.float32]] = []
        done = 0
        while done < len(slices):
            try:
                clean.append(self._denoise_batch(slices[done : done + self.batch_size], strength))
                done += len(clean[-1])
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if self.batch_size == 1:
                    size = "×".join(map(str, slices.shape[1:]))
                    raise InputError(f"not enough memory for one slice of {size}", hint="try --device cpu") from error
                self.batch_size //= 2
        return np.concatenate(clean).reshape(volume.shape)

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
        highest = self.hu_range[1]
        # Plain tensors: MONAI's MetaTensor would follow every layer of the network, at a price.
        inputs = [
            convert_to_tensor(self._to_network(image[np.newaxis]), track_meta=False)
            for image in np.minimum(hu, highest)
        ]
        output = self._apply(torch.stack(inputs))
        clean = np.stack([np.asarray(self._to_network.inverse(image))[0] for image in output])
        blended = clean if strength == 1 else hu + np.float32(strength) * (clean - hu)
        return np.where(hu > highest, hu, blended)

    def _apply(self, batch: Tensor) -> Tensor:
        """Send ``[B, C, H, W]`` of any size through the network."""
        return apply_to_any_size(self.network, batch.to(self.device)).float().cpu()


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
