"""Weights files: our own safetensors, and the formats in which encoders come; every key accounted for."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.models.encoder import FeatureEncoder, TimmResNetEncoder

#: Under these names training scripts put the state dict into a checkpoint.
_WRAPPERS = ("state_dict", "params", "model", "teacher")
#: The image encoder among others: CLIP's, MoCo v3's, DINO's, AugNet's.
_TOWERS = ("visual.", "base_encoder.", "backbone.", "pre.")
#: Behind layer3, and counters: never needed.
_UNUSED = ("layer4.", "attnpool.", "fc.", "head.")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(state: Mapping[str, Tensor], path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write weights: convolutions as `dtype`, everything one-dimensional (BatchNorm) as float32.

    The file gets its final name only when it is whole.
    """
    partial = path.with_name(f".{path.name}.partial")
    save_file(_pack(state, dtype), partial)
    partial.replace(path)


def _pack(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name: value.to(dtype if value.ndim > 1 else torch.float32).contiguous().cpu()
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }


def decoder_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights that are not the encoder's: what a decoder file holds."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith("encoder.")}


def check_encoder(encoder: nn.Module, path: Path) -> None:
    """Make sure that a weights file holds what saving `encoder` would write.

    Raises
    ------
    InputError
        If it does not.
    """
    stored = load_file(path)
    packed = _pack(encoder.state_dict(), torch.float16)
    if stored.keys() != packed.keys() or not all(torch.equal(stored[n].to(v.dtype), v) for n, v in packed.items()):
        raise InputError(
            "expected the encoder this decoder was trained on, found other weights",
            path=path,
            hint="write the model beside an encoder file of its own",
        )


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file, without running any code in it.

    Parameters
    ----------
    path
        safetensors; what ``torch.save`` wrote, bare or wrapped as training scripts do; a TorchScript archive, as
        OpenAI publishes CLIP.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else.
    """
    if not path.is_file():
        raise InputError("expected a weights file, found nothing there", path=path)
    try:
        content = _read(path)
    except Exception as error:  # a damaged file makes the readers stumble over anything
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"expected weights as safetensors, PyTorch state dict or TorchScript archive, found: {first_line}",
            path=path,
            hint="the file may be damaged or cut off; pickles that need code of their own are refused",
        ) from error
    while isinstance(content, Mapping) and (key := next((k for k in _WRAPPERS if k in content), None)):
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
    """Load an encoder's weights from a file in any of the formats of :func:`read_state`.

    Of CLIP, MoCo v3 and DINO the image tower is taken; what lies behind layer3 is left out. Kernels of networks for
    volumes are summed over depth, which is what they do to a volume that is the same in every slice.

    Raises
    ------
    InputError
        If the file cannot be read, or its tensors are not exactly the encoder's; lists what differs.
    """
    state = read_state(path)
    tower = next((prefix for prefix in _TOWERS if any(name.startswith(prefix) for name in state)), "")
    state = {
        name.removeprefix(tower): value
        for name, value in state.items()
        if name.startswith(tower) and not name.removeprefix(tower).startswith(_UNUSED)
    }
    if isinstance(encoder, TimmResNetEncoder) and not any(name.startswith("body.") for name in state):
        state = {f"body.{name}": value for name, value in state.items()}
    state = {name: value.sum(dim=2) if value.ndim == 5 else value for name, value in state.items()}
    load_state(encoder, state, encoder.state_dict(), path)


def load_decoder(network: nn.Module, path: Path) -> None:
    """Load a decoder's weights file: all of a network but its encoder.

    Raises
    ------
    InputError
        If the file cannot be read, or its tensors are not exactly the network's; lists what differs.
    """
    load_state(network, read_state(path), decoder_state(network), path)


def load_state(module: nn.Module, state: Mapping[str, Tensor], names: Collection[str], path: Path) -> None:
    """Load exactly the tensors `names` into `module`, as float32; counters of batches do not matter.

    Raises
    ------
    InputError
        If `state` has others, fewer, or of other shapes; lists them. `path` is where they came from.
    """
    own = module.state_dict()
    state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    wanted = {name: own[name].shape for name in names if not name.endswith("num_batches_tracked")}
    found = {name: value.shape for name, value in state.items()}
    complaints = [
        f"{kind} {', '.join(sorted(keys))}"
        for kind, keys in (("missing", wanted.keys() - found.keys()), ("surplus", found.keys() - wanted.keys()))
        if keys
    ] + [
        f"{name} is {tuple(found[name])} instead of {tuple(wanted[name])}"
        for name in sorted(wanted.keys() & found.keys())
        if wanted[name] != found[name]
    ]
    if complaints:
        raise InputError(f"weights of another network: {'; '.join(complaints)}", path=path)
    module.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
