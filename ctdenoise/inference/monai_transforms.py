"""MONAI transforms that denoise, and the parts of which a bundle's inference is composed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from numpy.typing import NDArray
from torch import Tensor

from ctdenoise.errors import InputError
from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.monai_neighbours import image_neighbours
from ctdenoise.inference.options import check_strength
from ctdenoise.inference.strength import automatic_strength, sample_indices
from ctdenoise.io.dicom.pixels import OUTSIDE_FIELD_HU, PADDING_FILL_HU
from ctdenoise.models.zoo import DEFAULT_MODEL
from ctdenoise.transforms import ScaleHU
from ctdenoise.transforms.hounsfield import HU_RANGE


class Denoise(Transform):
    """Denoise CT in any MONAI ``Compose``, for example before segmentation or radiomics.

    Parameters
    ----------
    denoiser
        A :class:`~ctdenoise.inference.Denoiser` for CT, or what its ``from_pretrained`` takes.
    strength
        0 returns the source, 1 the network's output; None measures the noise of each image, see
        :func:`~ctdenoise.inference.strength.automatic_strength`.

    Examples
    --------
    >>> load = Compose(
    ...     [
    ...         LoadImaged("image"),
    ...         EnsureChannelFirstd("image"),
    ...         Orientationd("image", axcodes="PLS"),
    ...         Denoised("image", "ct-lowdose"),
    ...         Spacingd("image", pixdim=(1.5, 1.5, 2.0)),
    ...     ]
    ... )

    Raises
    ------
    InputError
        If there is no such model, or it is one for photographs.
    ValueError
        If the strength is out of range.
    """

    def __init__(self, denoiser: Denoiser | str | Path = DEFAULT_MODEL, *, strength: float | None = None) -> None:
        check_strength(strength)
        self.denoiser = denoiser if isinstance(denoiser, Denoiser) else Denoiser.from_pretrained(denoiser)
        if self.denoiser.hu_range is None:
            raise InputError("expected a model for CT, found one for photographs", hint="see ctdenoise models list")
        self.strength = strength

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Denoise the slices of each channel.

        Parameters
        ----------
        img
            HU ``[C, H, W]`` or ``[C, H, W, D]`` at the scanner's resolution; slices are axial. Of a MetaTensor, the
            affine gives pixel spacing and slice thickness for the automatic strength.

        Returns
        -------
        ndarray or Tensor
            Same kind and shape, float32; a MetaTensor keeps affine, metadata and applied operations.

        Raises
        ------
        ValueError
            If the shape is another, the affine says that the last axis is not the one across axial slices, or all
            values are in [-1, 1], as after an intensity scaling.
        """
        if img.ndim not in (3, 4):
            raise ValueError(f"Denoise: expected [C, H, W] or [C, H, W, D], found shape {tuple(img.shape)}")
        _check_axial(img)
        plain = img.detach().cpu().as_subclass(Tensor).numpy() if isinstance(img, Tensor) else np.asarray(img)
        _check_hu(plain)
        spacing, thickness = _spacing(img)
        neighbours = image_neighbours(img, self.denoiser.context) if img.ndim == 4 else None
        clean = np.empty(plain.shape, np.float32)
        for source, target in zip(plain, clean, strict=True):
            slices = source[None] if source.ndim == 2 else np.moveaxis(source, -1, 0)
            denoised = self._slices(np.ascontiguousarray(slices, np.float32), spacing, thickness, neighbours)
            target[...] = denoised[0] if source.ndim == 2 else np.moveaxis(denoised, 0, -1)
        if not isinstance(img, Tensor):
            return clean
        result = img.clone().float()
        result.copy_(torch.from_numpy(clean))
        return result

    def _slices(
        self,
        hu: NDArray[np.float32],
        spacing_mm: float | None,
        thickness_mm: float | None,
        neighbours: NDArray[np.intp] | None,
    ) -> NDArray[np.float32]:
        """Denoise ``[D, H, W]``."""
        strength = self.strength
        if strength is None:
            strength = _measured_strength(hu, spacing_mm, thickness_mm)
        ready = self.denoiser.with_fastest_engine(hu[0], len(hu))
        return ready.denoise_stack(hu, strength, neighbours)


class Denoised(MapTransform):
    """Dictionary form of :class:`Denoise`."""

    def __init__(
        self,
        keys: KeysCollection,
        denoiser: Denoiser | str | Path = DEFAULT_MODEL,
        *,
        strength: float | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self._denoise = Denoise(denoiser, strength=strength)

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Denoise each key."""
        return {**data, **{key: self._denoise(data[key]) for key in self.key_iterator(data)}}


class NetworkInputd(MapTransform):
    """Turn HU of any shape into what the network sees: [0, 1], and the range's ends for what is outside of it.

    Values above `hu_range` (metal) become 1; values below −1400 HU (outside the field of view) and NaN become 0.
    """

    def __init__(
        self, keys: KeysCollection, hu_range: tuple[float, float] = HU_RANGE, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self._hu_range = hu_range
        self._scale = ScaleHU(hu_range)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert each key to float32 tensors."""
        result = dict(data)
        low, high = self._hu_range
        for key in self.key_iterator(data):
            hu = torch.as_tensor(data[key]).float()
            result[key] = self._scale(torch.where(hu >= OUTSIDE_FIELD_HU, hu.clamp(max=high), low))
        return result


class NetworkOutputd(MapTransform):
    """Turn the network's output into the denoised image: HU, or [0, 1] for photographs.

    Values that the network did not see (see :class:`NetworkInputd`) are those of the source. The result is a MetaTensor
    with the source's affine, metadata and applied operations.

    Parameters
    ----------
    keys
        The network's output, of the shape of the source.
    source_key
        The image before :class:`NetworkInputd`: ``[C, H, W]`` or ``[C, H, W, D]``.
    hu_range
        As for :class:`NetworkInputd`; None for photographs.
    strength
        As for :class:`Denoise`; of photographs, none is measured, and None is 1.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        source_key: str = "source",
        hu_range: tuple[float, float] | None = HU_RANGE,
        strength: float | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_strength(strength)
        self._source_key, self._hu_range, self._strength = source_key, hu_range, strength

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert each key."""
        result = dict(data)
        whole = data[self._source_key]
        source = torch.as_tensor(whole).as_subclass(Tensor).float().cpu()
        for key in self.key_iterator(data):
            clean = torch.as_tensor(data[key]).as_subclass(Tensor).float().cpu()
            if self._hu_range is not None:
                clean = ScaleHU(self._hu_range).inverse(clean)
            strength = self._strength
            if strength is None and self._hu_range is not None:
                planes = source[:1] if source.ndim == 3 else source[0].movedim(-1, 0)
                strength = _measured_strength(planes.numpy(), *_spacing(whole))
            if strength is not None and strength != 1:
                clean = source + strength * (clean - source)
            if self._hu_range is not None:
                seen = (source >= OUTSIDE_FIELD_HU) & (source <= self._hu_range[1])  # False for NaN
                clean = torch.where(seen, clean, source)
            result[key] = _like(whole, clean)
        return result


def _check_axial(img: NdarrayOrTensor) -> None:
    if img.ndim != 4 or not isinstance(img, MetaTensor):
        return
    direction = img.affine[:3, 2].abs()
    if int(direction.argmax()) != 2:
        raise ValueError(
            "Denoise: expected axial slices along the last axis, found another orientation in the affine; "
            'put Orientationd(keys, axcodes="PLS") before'
        )


def _check_hu(values: NDArray[Any]) -> None:
    low, high = float(np.nanmin(values, initial=np.inf)), float(np.nanmax(values, initial=-np.inf))
    if -1 <= low < high <= 1:
        raise ValueError(
            f"Denoise: expected HU, found values from {low:.3g} to {high:.3g}; put it before intensities are scaled"
        )


def _spacing(img: object) -> tuple[float | None, float | None]:
    """Return pixel spacing and slice thickness in mm, of a MetaTensor."""
    if not isinstance(img, MetaTensor):
        return None, None
    row, _, step = (float(length) for length in img.affine[:3, :3].norm(dim=0))
    return row, float(img.meta.get("slice_thickness_mm") or step)


def _measured_strength(hu: NDArray[np.float32], spacing_mm: float | None, thickness_mm: float | None) -> float:
    """Measure the automatic strength of ``[D, H, W]`` HU."""
    images = [hu[index] for index in sample_indices(len(hu))]
    filled = [np.where(image >= OUTSIDE_FIELD_HU, image, np.float32(PADDING_FILL_HU)) for image in images]
    return automatic_strength(filled, spacing_mm, thickness_mm).strength


def _like(source: Any, values: Tensor) -> Tensor:
    """Return values with the metadata of a source."""
    if not isinstance(source, MetaTensor):
        return values
    result: Tensor = source.clone().float().cpu()
    result.copy_(values)
    return result
