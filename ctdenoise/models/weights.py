"""Weights files: safetensors, float16 for convolutions, every key accounted for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.models.denoiser import ClipDenoiser
from ctdenoise.models.encoder import FeatureEncoder


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write weights: convolutions as float16, everything one-dimensional (BatchNorm) as float32.

    The file gets its final name only when it is whole.
    """
    partial = path.with_name(f".{path.name}.partial")
    save_file(_pack(state), partial)
    partial.replace(path)


def _pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.to(torch.float16 if value.ndim > 1 else torch.float32).contiguous().cpu()
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }


def check_encoder(encoder: FeatureEncoder, path: Path) -> None:
    """Make sure that a weights file holds what saving `encoder` would write.

    Raises
    ------
    InputError
        If it does not.
    """
    stored = load_file(path)
    packed = _pack(encoder.state_dict())
    if stored.keys() != packed.keys() or not all(torch.equal(stored[n], packed[n]) for n in packed):
        raise InputError(
            "expected the encoder this decoder was trained on, found other weights",
            path=path,
            hint="write the model beside an encoder file of its own",
        )


def load_encoder(encoder: FeatureEncoder, path: Path) -> None:
    """Load an encoder's weights file.

    Raises
    ------
    InputError
        If the file cannot be read, or its tensors are not exactly the encoder's; lists what differs.
    """
    _load(encoder, path, list(encoder.state_dict()))


def load_decoder(network: ClipDenoiser, path: Path) -> None:
    """Load a decoder's weights file: all of a network but its encoder.

    Raises
    ------
    InputError
        If the file cannot be read, or its tensors are not exactly the network's; lists what differs.
    """
    _load(network, path, list(network.decoder_state()))


def _load(module: nn.Module, path: Path, names: list[str]) -> None:
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise InputError("expected a weights file, found nothing there", path=path) from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"expected a safetensors file, found: {error}", path=path) from error
    own = module.state_dict()
    wanted = {name: own[name].shape for name in names if not name.endswith("num_batches_tracked")}
    found = {name: value.shape for name, value in state.items()}
    if wanted != found:
        complaints = [
            f"missing {', '.join(sorted(wanted.keys() - found.keys()))}" * bool(wanted.keys() - found.keys()),
            f"surplus {', '.join(sorted(found.keys() - wanted.keys()))}" * bool(found.keys() - wanted.keys()),
            "; ".join(
                f"{name} is {tuple(found[name])} instead of {tuple(wanted[name])}"
                for name in sorted(wanted.keys() & found.keys())
                if wanted[name] != found[name]
            ),
        ]
        raise InputError(f"weights of another network: {'; '.join(filter(None, complaints))}", path=path)
    module.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
