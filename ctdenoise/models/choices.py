"""Parameters of networks that take one of a few named values."""

from __future__ import annotations

from enum import StrEnum


class Choice(StrEnum):
    """A string out of a fixed set; equal to the plain string, and stored as that in JSON."""

    @classmethod
    def _missing_(cls, value: object) -> None:
        *others, last = (repr(str(member)) for member in cls)
        raise ValueError(f"{cls.__name__}: expected {', '.join(others)} or {last}, found {value!r}")


class Architecture(Choice):
    """Architecture of a denoising network.

    ``clip`` is the paper's network and the only one with an encoder; ``lite`` is a small U-Net; ``dncnn`` and
    ``redcnn`` are baselines.
    """

    CLIP = "clip"
    LITE = "lite"
    DNCNN = "dncnn"
    REDCNN = "redcnn"


class GreyInput(Choice):
    """How one grey channel becomes the three channels of the encoder's input.

    ``conv`` is a learned bias-free 1×1 convolution, as in the paper for CT; ``repeat`` copies the channel.
    """

    CONV = "conv"
    REPEAT = "repeat"


class BatchNormMode(Choice):
    """What the BatchNorm layers of an encoder do in training.

    ``frozen``: they use their running statistics, which never change. ``adapt``: they use the statistics of the batch
    and update their running statistics. The authors' code does the latter although its encoder is frozen otherwise.
    """

    FROZEN = "frozen"
    ADAPT = "adapt"


class ClipWeights(Choice):
    """Name of an encoder with OpenAI's CLIP weights."""

    RN50 = "clip-rn50"
    RN101 = "clip-rn101"
    RN50X4 = "clip-rn50x4"
    RN50X16 = "clip-rn50x16"
