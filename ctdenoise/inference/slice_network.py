"""A network for CT slices: HU in, HU out, cropped to the body."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctdenoise.inference.cropping import Box, body_box
from ctdenoise.inference.network_runner import NetworkRunner
from ctdenoise.io.dicom.pixels import OUTSIDE_FIELD_HU
from ctdenoise.transforms.hounsfield import hu_to_unit, unit_to_hu


@dataclass(frozen=True)
class SliceNetwork:
    """Applies a network to slices in HU.

    Attributes
    ----------
    runner
        Sends images through the network.
    hu_range
        HU that become 0 and 1.
    channels
        Channels of the network's input.
    context
        Neighbours on each side that the network sees as channels.
    full_field
        Send whole slices through the network, not only the body.
    """

    runner: NetworkRunner
    hu_range: tuple[float, float]
    channels: int
    context: int
    full_field: bool

    def with_engine(self, name: str) -> SliceNetwork:
        """Return the same with another engine; InputError if it is not here."""
        return replace(self, runner=self.runner.with_engine(name))

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Denoise slices; the result of each depends on itself and its neighbours alone.

        Parameters
        ----------
        windows
            ``[B, 2 · context + 1, H, W]`` HU.

        Returns
        -------
        ndarray
            ``[B, H, W]`` HU; pixels outside the body, above the range of HU and outside the field of view as they were.
        """
        slices = windows[:, self.context]
        boxes = [self.box(image) for image in slices]
        result = slices.copy()
        for size in {_size(box) for box in boxes if box is not None}:
            same = [(i, box) for i, box in enumerate(boxes) if box is not None and _size(box) == size]
            inputs = [self.network_input(windows[i][:, *box]) for i, box in same]
            output = self.runner(inputs[0][None] if len(inputs) == 1 else torch.stack(inputs))
            for (i, box), image in zip(same, output, strict=True):
                clean = unit_to_hu(image[0].numpy(), self.hu_range)
                np.copyto(result[i][box], clean, where=self.seen(slices[i][box]))
        return result

    def box(self, hu: NDArray[np.float32]) -> Box | None:
        """Return the rows and columns that the network sees of ``[H, W]`` HU; None if there is no body."""
        everything = slice(0, hu.shape[0]), slice(0, hu.shape[1])
        return everything if self.full_field else body_box(hu, self.runner.size_multiple)

    def seen(self, hu: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which pixels the network sees as they are: not metal, NaN or outside the field of view."""
        inside: NDArray[np.bool_] = (hu >= OUTSIDE_FIELD_HU) & (hu <= self.hu_range[1])
        return inside

    def visible(self, hu: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return HU with the ends of the range in place of what the network does not see."""
        low, high = self.hu_range
        visible = np.minimum(hu, np.float32(high))
        np.copyto(visible, low, where=~(hu >= OUTSIDE_FIELD_HU))  # outside the field of view, and NaN
        return visible

    def network_input(self, hu: NDArray[np.float32]) -> Tensor:
        """Window and normalise ``[2 · context + 1, H, W]`` HU to ``[C, H, W]``."""
        image = torch.from_numpy(hu_to_unit(self.visible(hu), self.hu_range))
        return image.expand(self.channels, -1, -1)  # a grey network's slice, or its windows, as they are


def _size(box: Box) -> tuple[int, int]:
    rows, columns = box
    return rows.stop - rows.start, columns.stop - columns.start
