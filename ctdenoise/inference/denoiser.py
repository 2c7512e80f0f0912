"""The denoiser for arrays: HU in, HU out; photographs in [0, 1]. It knows no files."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.inference.arrays import ArrayOrTensor, checked_volume, like_input
from ctdenoise.inference.averaged_slices import AveragedSlices
from ctdenoise.inference.engines import AUTO
from ctdenoise.inference.network_runner import NetworkRunner, select_device
from ctdenoise.inference.options import check_strength
from ctdenoise.inference.parallel import results_in_order
from ctdenoise.inference.photograph_noise import PhotographNoise, denoise_photograph
from ctdenoise.inference.slice_network import SliceNetwork
from ctdenoise.inference.strength import automatic_strength, sample_indices
from ctdenoise.io.neighbours import Plane, neighbour_indices
from ctdenoise.models.averaging import NeighbourAveraging
from ctdenoise.models.denoiser import NetworkConfig
from ctdenoise.models.zoo import DEFAULT_MODEL, ModelDescription, load_averaging, load_model
from ctdenoise.transforms.hounsfield import HU_RANGE


@dataclass(frozen=True)
class ImageResult:
    """A denoised photograph.

    Attributes
    ----------
    image
        ``[H, W, C]`` float32, not clipped.
    noise
        What was measured of its noise, and what was done about it.
    """

    image: NDArray[np.float32]
    noise: PhotographNoise


class Denoiser:
    """Denoise CT slices or photographs given as arrays.

    Parameters
    ----------
    network
        Takes ``[B, C, H, W]`` in [0, 1] with H and W multiples of 16, and returns the same size; the first channel of
        its output is the image.
    hu_range
        HU that become 0 and 1; None for a network of photographs.
    channels
        Channels of the network's input: 3 for colour or for the grey channel repeated, 1 for grey, 2 · `context` + 1
        for a slice with its neighbours.
    context
        Neighbours that the network sees on each side of a slice; CT only.
    averaging
        Averages each denoised slice with its denoised neighbours; CT only, and for a network without `context`.
    device
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    batch_size
        Most slices that go through the network at once; None is 16 on a GPU and 1 elsewhere. Fewer where memory does
        not suffice, and tiles where it does not suffice for one.
    engine
        ``"auto"`` or a name in :data:`~ctdenoise.inference.engines.ENGINES`. With ``"auto"``, a call with enough slices
        measures once which engine is fastest on this machine.
    full_field
        Send whole slices through the network. Otherwise rows and columns of air around the body are returned as they
        are, and HU in the body differ by less than 0.05 (root mean square) from the result for whole slices.
    description
        The model's; None for a network that is not from the zoo.

    Examples
    --------
    >>> denoiser = Denoiser.from_pretrained("ct-lowdose")
    >>> clean = denoiser(volume_hu)

    Raises
    ------
    InputError
        If the device or the engine is not available.
    ValueError
        If there is `averaging`, and the network has a `context` or is for photographs.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        hu_range: tuple[float, float] | None = HU_RANGE,
        channels: int = 3,
        context: int = 0,
        averaging: NeighbourAveraging | None = None,
        device: str = "auto",
        batch_size: int | None = None,
        engine: str = AUTO,
        full_field: bool = True,
        description: ModelDescription | None = None,
    ) -> None:
        if averaging is not None and (context or hu_range is None):
            raise ValueError("averaging: expected a network for CT without context")
        self.description = description
        self.channels = channels
        self.hu_range = hu_range
        self.requested_device = device
        self.requested_engine = engine
        where = select_device(device)
        low, high = hu_range or HU_RANGE
        runner = NetworkRunner(
            network,
            where,
            channels=channels,
            engine=engine,
            batch_size=batch_size or (16 if where.type == "cuda" else 1),
            network_key=description.sha256 if description else "",
            hu_width=high - low,
        )
        slices = SliceNetwork(runner, (low, high), channels, context, full_field)
        self._slices: SliceNetwork | AveragedSlices = AveragedSlices(slices, averaging) if averaging else slices

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        engine: str = AUTO,
        full_field: bool = False,
    ) -> Denoiser:
        """Load a model of the zoo, or from a folder with a ``model.json``.

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
            context=config.context // 2,
            averaging=load_averaging(name_or_path, description),
            device=device,
            batch_size=batch_size,
            engine=engine,
            # With aligned corners, as in the authors' weights, every pixel depends on the size of the image.
            full_field=full_field or config.align_corners,
            description=description,
        )

    @property
    def _slice_network(self) -> SliceNetwork:
        return self._slices.network if isinstance(self._slices, AveragedSlices) else self._slices

    @property
    def runner(self) -> NetworkRunner:
        """What sends images through the network."""
        return self._slice_network.runner

    @property
    def full_field(self) -> bool:
        """Whether whole slices go through the network, not only the body."""
        return self._slice_network.full_field

    @property
    def context(self) -> int:
        """Neighbours on each side of a slice that its result depends on."""
        return self._slices.context

    @property
    def averaging(self) -> NeighbourAveraging | None:
        """What averages denoised slices with their denoised neighbours, if anything does."""
        return self._slices.averaging if isinstance(self._slices, AveragedSlices) else None

    def environment(self) -> dict[str, str]:
        """Return what can change the rounding of results."""
        environment = self.runner.environment()
        return environment if self.averaging is None else {**environment, "torch": version("torch")}

    @property
    def device(self) -> torch.device:
        """The device the network is on."""
        return self.runner.device

    @property
    def network(self) -> nn.Module:
        """The network."""
        return self.runner.network

    @property
    def engine(self) -> str:
        """The engine's name; ``"auto"`` if none was chosen yet."""
        return self.runner.engine_name

    @property
    def batch_size(self) -> int:
        """Most slices at once, as far as known of memory."""
        return self.runner.batch_size

    @property
    def parallel_calls(self) -> int:
        """Number of threads that should call :meth:`denoise_slices` at the same time."""
        return self.runner.parallel_calls

    def with_engine(self, name: str) -> Denoiser:
        """Return a denoiser with the same network and another engine.

        Raises
        ------
        InputError
            If there is no such engine here.
        """
        other = copy.copy(self)
        other._slices = self._slices.with_engine(name)
        return other

    def with_fastest_engine(self, example_hu: NDArray[np.float32], slices: int) -> Denoiser:
        """Return a denoiser with the engine that would finish so many slices ``[H, W]`` first; measured if need be."""
        if self.requested_engine != AUTO:
            return self.with_engine(self.requested_engine)
        network = self._slice_network
        probe = network.network_input(np.repeat(example_hu[None], 2 * network.context + 1, axis=0))
        return self.with_engine(self.runner.fastest_engine(probe[None], slices))

    def __call__(
        self,
        hu: ArrayOrTensor,
        *,
        strength: float | None = None,
        pixel_spacing_mm: float | None = None,
        slice_thickness_mm: float | None = None,
    ) -> ArrayOrTensor:
        """Denoise slices.

        Parameters
        ----------
        hu
            ``[H, W]`` or ``[D, H, W]`` HU of any size: an array, a tensor, or a MetaTensor, which keeps its metadata.
            Values above the model's range (metal), below −1400 HU (outside the field of view) and NaN are returned as
            they are; the network sees the end of its range in their place. A model with context takes the slices of
            ``[D, H, W]`` for neighbours in this order, at equal distances; :func:`~ctdenoise.inference.api.denoise`
            knows where slices of files are.
        strength
            0 returns the source, 1 the network's output, values in between blend linearly. None leaves about the noise
            of a full-dose scan: see :func:`~ctdenoise.inference.strength.automatic_strength`.
        pixel_spacing_mm, slice_thickness_mm
            For the automatic strength only, where known.

        Returns
        -------
        ndarray or Tensor
            Same kind and shape as `hu`, float32 HU.

        Raises
        ------
        InputError
            If the model is one for photographs, or memory does not suffice.
        ValueError
            If shape, type or strength are not as above.
        """
        check_strength(strength)
        if self.hu_range is None:
            raise InputError("expected a model for CT, found one for photographs", hint="see ctdenoise models list")
        volume = checked_volume(hu)
        slices = volume.reshape(-1, *volume.shape[-2:])
        if strength is None:
            sample = [slices[i] for i in sample_indices(len(slices))]
            strength = automatic_strength(sample, pixel_spacing_mm, slice_thickness_mm).strength
        ready = self.with_fastest_engine(slices[0], len(slices)) if self.engine == AUTO else self
        return like_input(ready.denoise_stack(slices, strength).reshape(volume.shape), hu)

    def denoise_stack(
        self, hu: NDArray[np.float32], strength: float, neighbours: NDArray[np.intp] | None = None
    ) -> NDArray[np.float32]:
        """Denoise ``[D, H, W]`` HU, a few slices at a time.

        Parameters
        ----------
        hu
            Slices in order of position.
        strength
            As above.
        neighbours
            ``[D, 2 · context + 1]``, see :func:`~ctdenoise.io.neighbours.neighbour_indices`; None for equal distances.
        """
        if neighbours is None:
            neighbours = neighbour_indices([Plane(float(index)) for index in range(len(hu))], self.context)
        size = max(1, self.batch_size)
        batches = [neighbours[first : first + size] for first in range(0, len(hu), size)]
        results = results_in_order(partial(self._denoise_batch, hu, strength), batches, self.parallel_calls)
        return np.concatenate(list(results))

    def _denoise_batch(
        self, hu: NDArray[np.float32], strength: float, neighbours: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        return self.denoise_slices(hu[neighbours], strength)

    def denoise_slices(self, hu: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        """Denoise slices; the result of each depends on itself and its neighbours alone.

        Parameters
        ----------
        hu
            ``[B, H, W]``, or ``[B, 2 · context + 1, H, W]``: slices with their neighbours in order along the normal,
            and the slice itself where there is none.
        strength
            As above.

        Returns
        -------
        ndarray
            ``[B, H, W]``.
        """
        windows = hu if hu.ndim == 4 else np.repeat(hu[:, None], 2 * self.context + 1, axis=1)
        return self._blend(windows[:, self.context], self._slices(windows), strength)

    def denoise_image(self, image: NDArray[np.floating], *, strength: float = 1.0) -> NDArray[np.float32]:
        """Denoise a photograph.

        Parameters
        ----------
        image
            ``[H, W, 1]`` or ``[H, W, 3]``, any size, [0, 1]. A colour network sees grey as three equal channels; a grey
            network sees colours one by one.
        strength
            0 returns the source, 1 the network's output, values in between blend linearly.

        Returns
        -------
        ndarray
            Same shape, float32, not clipped.

        Raises
        ------
        InputError
            If the model is one for CT.
        ValueError
            If shape or strength are not as above.
        """
        return self.process_image(image, strength=strength).image

    @torch.inference_mode()
    def process_image(self, image: NDArray[np.floating], *, strength: float = 1.0) -> ImageResult:
        """Denoise a photograph as :meth:`denoise_image` does, and return what was measured in it, too."""
        check_strength(strength)
        if self.hu_range is not None:
            raise InputError(
                "expected a model for photographs, found one for CT", hint="name another with --model; see models list"
            )
        source = np.asarray(image, np.float32)
        if source.ndim != 3 or source.shape[2] not in (1, 3) or 0 in source.shape:
            raise ValueError(f"expected [H, W, 1] or [H, W, 3], found {source.shape}")
        channels = source.transpose(2, 0, 1)
        if channels.shape[0] == 3 == self.channels:
            output, noise = self._apply_to_photograph(torch.from_numpy(channels.copy())[None])
            clean = output[0].numpy()
        else:
            inputs = torch.from_numpy(channels[:, None].copy()).expand(-1, self.channels, -1, -1)
            output, noise = self._apply_to_photograph(inputs)
            clean = output.mean(dim=1).numpy()
        return ImageResult(source + np.float32(strength) * (clean.transpose(1, 2, 0) - source), noise)

    def _apply_to_photograph(self, batch: Tensor) -> tuple[Tensor, PhotographNoise]:
        return denoise_photograph(
            self.runner,
            batch,
            training_noise=self.training_noise,
            correlated_noise=self.correlated_noise is not None,
        )

    @property
    def training_noise(self) -> float | None:
        """The level to which the model wants stronger noise of photographs brought, [0, 1]; None for no change."""
        return self.description.training_noise if self.description else None

    @property
    def correlated_noise(self) -> str | None:
        """How the model treats spatially correlated noise of photographs; None if like any other."""
        return self.description.correlated_noise if self.description else None

    def _blend(self, hu: NDArray[np.float32], clean: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        if strength == 1:
            return clean
        with np.errstate(invalid="ignore", over="ignore"):  # where the source is infinite, and stays so below
            result = hu + np.float32(strength) * (clean - hu)
        np.copyto(result, hu, where=~self._slice_network.seen(hu))
        return result
