"""Reading and writing of weights files: safetensors, and the formats in which encoders are published."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.files import atomic_path
from ctdenoise.models.encoder import FeatureEncoder, TimmResNetEncoder, batch_norms

#: Keys under which training scripts store the state dict in a checkpoint.
_STATE_KEYS = ("state_dict", "params", "model", "teacher")
#: Prefixes of the image encoder's tensors in checkpoints that hold more: CLIP, MoCo v3, DINO, AugNet.
_ENCODER_PREFIXES = ("visual.", "base_encoder.", "backbone.", "pre.")
#: Layers after layer3, which the decoder does not use.
_UNUSED_LAYERS = ("layer4.", "attnpool.", "fc.", "head.")
#: Suffix of BatchNorm's batch counters, which inference does not use and files do not store.
_COUNTER = "num_batches_tracked"
#: Number of tensor names that an error message lists.
_LISTED = 3


def save_weights(state: Mapping[str, Tensor], path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write weights as safetensors, atomically.

    Parameters
    ----------
    state
        Tensors by name. One-dimensional ones (BatchNorm, biases) are stored as float32, batch counters are left out.
    path
        The file; its folder must exist.
    dtype
        Data type in which the other tensors (convolutions) are stored.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with atomic_path(path) as partial:
        save_file(_pack(state, dtype), partial)


def _pack(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name: value.to(dtype if value.ndim > 1 else torch.float32).contiguous().cpu()
        for name, value in state.items()
        if not name.endswith(_COUNTER)
    }


def decoder_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a decoder file: all of the network except the encoder's."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith("encoder.")}


def check_encoder(encoder: nn.Module, path: Path) -> None:
    """Check that a weights file holds the tensors of `encoder`, as :func:`save_weights` stores them in float16.

    Raises
    ------
    InputError
        If its tensors differ.
    """
    stored = load_file(path)
    packed = _pack(encoder.state_dict(), torch.float16)
    if stored.keys() != packed.keys() or not all(torch.equal(stored[n].to(v.dtype), v) for n, v in packed.items()):
        raise InputError(
            "expected the encoder this decoder was trained on, found other weights",
            path=path,
            hint="choose another name for the encoder file",
        )


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file, without running any code in it.

    Parameters
    ----------
    path
        A safetensors file; a state dict written by ``torch.save``, also inside a checkpoint; or a TorchScript archive,
        as OpenAI publishes CLIP.

    Returns
    -------
    dict
        Tensors by name, without the prefix ``module.`` of parallel training.

    Raises
    ------
    InputError
        If it cannot be read, or holds no tensors by name.
    """
    if not path.is_file():
        raise InputError("expected a weights file, found no file", path=path)
    try:
        content = _read(path)
    except Exception as error:  # the readers raise many kinds of errors for damaged files
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"expected weights as safetensors, PyTorch state dict or TorchScript archive, found: {first_line}",
            path=path,
            hint="the file may be damaged or incomplete; pickles that would run code are refused",
        ) from error
    while isinstance(content, Mapping) and (key := next((k for k in _STATE_KEYS if k in content), None)):
        content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"expected tensors by name, found {type(content).__name__}", path=path)
    return {name.removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            torch_script = any(name.endswith("/constants.pkl") for name in archive.namelist())
        if torch_script:
            return torch.jit.load(path, map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
    return torch.load(path, map_location="cpu", weights_only=True)


def load_encoder(encoder: FeatureEncoder, path: Path) -> None:
    """Load an encoder's weights from a file in one of the formats of :func:`read_state`.

    From a checkpoint of CLIP, MoCo v3 or DINO only the image encoder is loaded, and only up to layer3. Convolution
    kernels of networks for volumes are summed over depth; that is their effect on a volume of identical slices.

    Raises
    ------
    InputError
        If the file cannot be read, or its tensors are not exactly the encoder's; names those that differ.
    """
    state = read_state(path)
    prefix = next((prefix for prefix in _ENCODER_PREFIXES if any(name.startswith(prefix) for name in state)), "")
    state = {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix) and not name.removeprefix(prefix).startswith(_UNUSED_LAYERS)
    }
    if isinstance(encoder, TimmResNetEncoder) and not any(name.startswith("body.") for name in state):
        state = {f"body.{name}": value for name, value in state.items()}
    state = {name: value.sum(dim=2) if value.ndim == 5 else value for name, value in state.items()}
    load_state(encoder, state, encoder.state_dict(), path)
    offsets = [offset for norm in batch_norms(encoder) for offset in (norm.bias, norm.running_mean)]
    if encoder.level_equivariant and any(offset is not None and offset.any() for offset in offsets):
        raise InputError(
            "expected an encoder whose BatchNorm layers have neither bias nor mean, found one that has",
            path=path,
            hint="a level-equivariant network needs such an encoder, e.g. ctdenoise-rn50-equivariant",
        )


def load_decoder(network: nn.Module, path: Path) -> None:
    """Load a decoder file: all tensors of a network except its encoder's.

    Raises
    ------
    InputError
        If the file cannot be read, or its tensors are not exactly the network's; names those that differ.
    """
    load_state(network, read_state(path), decoder_state(network), path)


def load_state(module: nn.Module, state: Mapping[str, Tensor], names: Collection[str], path: Path) -> None:
    """Load tensors into a module as float32.

    Parameters
    ----------
    module
        The network or encoder; tensors on the meta device are replaced by tensors on the CPU.
    state
        Tensors by name; batch counters (``num_batches_tracked``) are ignored.
    names
        Names of the module's tensors that `state` must hold, no more and no fewer.
    path
        The file that `state` was read from, for the error message.

    Raises
    ------
    InputError
        If names or shapes differ; names those that differ.
    """
    own = module.state_dict()
    state = {name: value for name, value in state.items() if not name.endswith(_COUNTER)}
    expected = {name: own[name].shape for name in names if not name.endswith(_COUNTER)}
    found = {name: value.shape for name, value in state.items()}
    missing, unexpected = expected.keys() - found.keys(), found.keys() - expected.keys()
    misshapen = [
        f"{name} of shape {tuple(found[name])} instead of {tuple(expected[name])}"
        for name in expected.keys() & found.keys()
        if expected[name] != found[name]
    ]
    differences = [
        f"{label} {_shortened(entries)}"
        for label, entries in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
        if entries
    ]
    if differences:
        raise InputError(f"weights of another network: {'; '.join(differences)}", path=path)
    counters = {name: torch.zeros_like(own[name], device="cpu") for name in own if name.endswith(_COUNTER)}
    tensors = {**counters, **{name: value.float() for name, value in state.items()}}
    module.load_state_dict(tensors, strict=False, assign=any(value.is_meta for value in own.values()))


def _shortened(entries: Collection[str]) -> str:
    shown = ", ".join(sorted(entries)[:_LISTED])
    return f"{shown} and {len(entries) - _LISTED} more" if len(entries) > _LISTED else shown
