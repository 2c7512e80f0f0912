"""The paper's authors' checkpoints (``net_g_latest.pth``) as model folders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ctdenoise.errors import InputError
from ctdenoise.models.denoiser import NetworkConfig, build_network
from ctdenoise.models.weights import file_sha256, load_state, read_state
from ctdenoise.models.zoo import ModelDescription, save_model

#: Theirs and ours: their blocks 0…4 are our bottleneck and the four upsampling blocks.
_BLOCKS = {
    f"up_path.{i}.conv_block.block.": "decoder.bottleneck." if i == 0 else f"decoder.up.{i - 1}." for i in range(5)
}
_NAMES = {**_BLOCKS, "last.": "decoder.last.", "first.": "grey_input.", "encoder.": "encoder."}


def import_authors(path: Path, folder: Path, *, name: str | None = None) -> ModelDescription:
    """Turn a checkpoint of the authors' training code into a model folder with a card.

    Their encoder was CLIP's, but its BatchNorm statistics drifted in training (its parameters did not require
    gradients, yet the layers were in training mode), so the checkpoint's own are kept and the encoder is named
    ``clip-rn50-adapted``. Its layer4 is left out: no result depends on it.

    Parameters
    ----------
    path
        ``net_g_latest.pth``, with the tensors under ``params``.
    folder
        The model's folder; made if it is not there.
    name
        Of the model; the folder's if not given.

    Raises
    ------
    InputError
        If the file is not such a checkpoint, or `folder` holds a model already.
    """
    if (folder / "model.json").exists():
        raise InputError("there is a model already", path=folder, hint="choose another folder")
    state = {ours: value for theirs, value in read_state(path).items() if (ours := _rename(theirs))}
    last = state.get("decoder.last.weight")
    if last is None or last.ndim != 4:
        raise InputError("expected a checkpoint of CLIPDenoising with last.weight, found none", path=path)
    grey = "grey_input.weight" in state
    config = NetworkConfig(
        encoder="RN50", grey_input="conv" if grey else "repeat", out_channels=last.shape[0], align_corners=True
    )
    model = build_network(config)
    load_state(model, state, model.state_dict(), path)
    kind = "CT, [0, 1] is −1024…3072 HU" if grey else "photographs"
    description = save_model(
        model,
        folder,
        dtype="float32",
        name=name or folder.resolve().name,
        version="1",
        summary=f"The authors' checkpoint {path.name}, for {kind}",
        licence="MIT (the authors' repository)",
        training_data="see the paper, arXiv 2403.15132",
        encoder_name="clip-rn50-adapted",
        network=asdict(config),
        hu_range=(-1024.0, 3072.0) if grey else None,
    )
    (folder / "README.md").write_text(_card(description, path), encoding="utf-8")
    return description


def _rename(name: str) -> str | None:
    if name.startswith("encoder.layer4."):
        return None
    prefix = next((theirs for theirs in _NAMES if name.startswith(theirs)), None)
    return name if prefix is None else _NAMES[prefix] + name.removeprefix(prefix)


def _card(description: ModelDescription, path: Path) -> str:
    return f"""# {description.name}

{description.summary}. Imported by `ctdenoise models import`, float32, unchanged but for tensor names.

- Source: `{path.name}`, SHA-256 `{file_sha256(path)}`
- Method and training: *Transfer CLIP for Generalizable Image Denoising*, CVPR 2024, arXiv 2403.15132, §4
- Encoder: CLIP RN50 with the BatchNorm statistics of the checkpoint, which drifted from CLIP's in training
- Upsampling aligns corners, as in training, so a tile does not give exactly what the whole image gives

Nothing was measured with it here: `ctdenoise` imports the weights and does not vouch for results. Not for diagnostic
use.
"""
