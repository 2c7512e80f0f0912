"""Import of checkpoints of the paper's authors (``net_g_latest.pth``) as model folders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ctdenoise.errors import InputError
from ctdenoise.files import file_sha256, write_whole
from ctdenoise.models.choices import GreyInput
from ctdenoise.models.denoiser import NetworkConfig, build_network
from ctdenoise.models.weights import load_state, read_state
from ctdenoise.models.zoo import ModelDescription, save_model

#: Prefixes of the authors' tensor names, and ours. Their blocks 0…4 are our bottleneck and four upsampling blocks.
_BLOCKS = {
    f"up_path.{i}.conv_block.block.": "decoder.bottleneck." if i == 0 else f"decoder.up.{i - 1}." for i in range(5)
}
_PREFIXES = {**_BLOCKS, "last.": "decoder.last.", "first.": "grey_input.", "encoder.": "encoder."}
#: Tensors that every checkpoint of the authors has.
_REQUIRED = ("encoder.conv1.weight", "up_path.0.conv_block.block.0.weight", "last.weight")


def import_authors(path: Path, folder: Path, *, name: str | None = None) -> ModelDescription:
    """Convert a checkpoint of the authors' training code into a model folder with a card.

    The authors started from CLIP's encoder, but its BatchNorm statistics changed in training: the layers were in
    training mode although their parameters did not require gradients. The statistics of the checkpoint are therefore
    kept, and the encoder is named ``clip-rn50-adapted``. Its layer4, which the decoder does not use, is left out.

    Parameters
    ----------
    path
        ``net_g_latest.pth``, with the tensors under ``params``.
    folder
        The model's folder; created if absent.
    name
        Name of the model; that of the folder by default.

    Raises
    ------
    InputError
        If the file is not a checkpoint of the authors, or `folder` already holds a model.
    """
    if (folder / "model.json").exists():
        raise InputError("expected a new folder, found a model in it", path=folder, hint="choose another folder")
    state = _read_checkpoint(path)
    grey = "grey_input.weight" in state
    config = NetworkConfig(
        encoder="RN50",
        grey_input=GreyInput.CONV if grey else GreyInput.REPEAT,
        out_channels=state["decoder.last.weight"].shape[0],
        align_corners=True,
    )
    with torch.device("meta"):
        model = build_network(config)
    load_state(model, state, model.state_dict(), path)
    content = "CT, [0, 1] is −1024…3072 HU" if grey else "photographs"
    description = save_model(
        model,
        folder,
        dtype="float32",
        name=name or folder.resolve().name,
        version="1",
        summary=f"The authors' checkpoint {path.name}, for {content}",
        licence="MIT (the authors' repository)",
        training_data="see the paper, arXiv 2403.15132",
        encoder_name="clip-rn50-adapted",
        network=asdict(config),
        hu_range=(-1024.0, 3072.0) if grey else None,
    )
    write_whole(folder / "README.md", _card(description, path))
    return description


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint of the authors under our names."""
    theirs = read_state(path)
    if "decoder.last.weight" in theirs:
        raise InputError(
            "expected a checkpoint of the paper's authors, found weights of ctdenoise",
            path=path,
            hint="convert a checkpoint of ctdenoise train with ctdenoise export",
        )
    if missing := [name for name in _REQUIRED if name not in theirs]:
        raise InputError(
            f"expected a checkpoint of the paper's authors (CLIPDenoising), found no tensor {missing[0]} in it",
            path=path,
        )
    if theirs["last.weight"].ndim != 4:
        raise InputError(
            f"expected last.weight of 4 dimensions, found shape {tuple(theirs['last.weight'].shape)}", path=path
        )
    return {ours: value for name, value in theirs.items() if (ours := _rename(name))}


def _rename(name: str) -> str | None:
    """Return our name of a tensor; None for layer4; the name itself if the authors' network has no such tensor."""
    if name.startswith("encoder.layer4."):
        return None
    prefix = next((theirs for theirs in _PREFIXES if name.startswith(theirs)), None)
    return name if prefix is None else _PREFIXES[prefix] + name.removeprefix(prefix)


def _card(description: ModelDescription, path: Path) -> str:
    return f"""# {description.name}

{description.summary}. Imported by `ctdenoise models import` in float32; only tensor names were changed.

- Source: `{path.name}`, SHA-256 `{file_sha256(path)}`
- Method and training: *Transfer CLIP for Generalizable Image Denoising*, CVPR 2024, arXiv 2403.15132, §4
- Encoder: CLIP RN50 with the BatchNorm statistics of the checkpoint, which differ from CLIP's because training changed
  them
- Upsampling aligns corners, as in training; a tile therefore does not give exactly the same result as the whole image

The project has measured nothing with this model. Not for diagnostic use.
"""
