"""Writing a self-contained MONAI bundle, as a model zoo takes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from monai.networks import convert_to_torchscript

from ctdenoise.errors import InputError
from ctdenoise.files import atomic_path, file_sha256, write_whole
from ctdenoise.models.denoiser import NetworkConfig
from ctdenoise.models.sources import encoder_source
from ctdenoise.models.zoo import ModelDescription, copy_weights, load_model, model_folder, write_description
from ctdenoise.training.configuration import merged_configuration, shared_overlays
from ctdenoise.training.resources import resource

#: The bundle's model folder, and what MONAI's ``load`` takes: the network's state, and the network as TorchScript.
_MODELS = "models"
#: Side of the image that the network is traced with; any multiple of 16 gives the same module.
_TRACED_SIDE = 64


def write_bundle(pipeline: str, folder: str | Path, *, model: str | Path | None = None) -> ModelDescription:
    """Write a bundle of ``pipelines/`` together with a model.

    The folder holds ``configs``, with ``train.json`` written out whole, ``docs``, ``LICENSE``,
    ``metadata_schema.json``, ``large_files.yml`` with the SHA-256 of the files in ``models``, and there the model
    folder of ctdenoise, ``model.pt`` and ``model.ts``. It needs nothing but ctdenoise to run, and nothing but MONAI to
    load ``model.ts``.

    Parameters
    ----------
    pipeline
        Name of the bundle.
    folder
        Created; MONAI takes its name for the name of the bundle.
    model
        Name or folder of the model; by default the one that the bundle denoises with.

    Returns
    -------
    ModelDescription
        Of the model in the bundle.

    Raises
    ------
    InputError
        If there is no such bundle or model, the folder is not empty, or the model is of another kind than the bundle.
    """
    source, folder = resource("pipelines", pipeline), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("expected a new or empty folder, found something there", path=folder, hint="choose another")
    inference = _read(source / "configs" / "inference.json")
    name = model or inference["model_dir"]
    network, description = load_model(name)
    if (description.hu_range is None) != ("hu_range" not in inference):
        kinds = ("photographs", "CT") if description.hu_range else ("CT", "photographs")
        raise InputError(f"expected a model for {kinds[0]}, found one for {kinds[1]}", path=model_folder(name))
    configs, docs = folder / "configs", folder / "docs"
    shutil.copytree(source / "configs", configs)
    for overlay in shared_overlays():
        shutil.copy2(overlay, configs)
    shutil.copytree(source / "docs", docs)
    shutil.copy2(source / "LICENSE", folder)
    shutil.copy2(source.parent / "metadata_schema.json", folder)
    card = model_folder(name) / "README.md"
    if card.is_file():
        shutil.copy2(card, docs / "model_card.md")
    for config in ("train", "export"):
        _write(configs / f"{config}.json", merged_configuration(pipeline, config))
    _configure(configs, description)
    shipped = _write_model(network, name, folder)
    return shipped


def _configure(configs: Path, description: ModelDescription) -> None:
    """Set the network of training and inference to the model's, and record the model in the metadata."""
    layout = {key: value for key, value in description.network.items() if key != "encoder"}
    train = _read(configs / "train.json")
    train["network"] = layout
    if description.hu_range and "hu_range" in train:
        train["hu_range"] = list(description.hu_range)
    if train["encoder"] is not None:
        train["encoder"] = _training_encoder(description)
    _write(configs / "train.json", train)
    inference = _read(configs / "inference.json")
    inference["model_dir"] = f"$@bundle_root + '/{_MODELS}'"
    inference["network"] = dict(description.network)
    if description.hu_range:
        inference["hu_range"] = list(description.hu_range)
    _write(configs / "inference.json", inference)
    metadata = _read(configs / "metadata.json")
    metadata["model"] = {
        key: getattr(description, key) for key in ("name", "version", "sha256", "licence", "training_data")
    }
    _write(configs / "metadata.json", metadata)


def _training_encoder(description: ModelDescription) -> str | None:
    """Return a name that stands for the layout of the model's encoder, and for its weights where they have a name."""
    layout, name = description.network.get("encoder"), description.encoder_name
    if layout is None:
        return None
    return name if name and encoder_source(name).layout == layout else f"random-{layout}".lower()


def _write_model(network: torch.nn.Module, model: str | Path, folder: Path) -> ModelDescription:
    """Write the model folder, the network's state and TorchScript, and the list of these files."""
    models = folder / _MODELS
    models.mkdir()
    shipped = copy_weights(model, models)
    write_description(models, shipped)
    with atomic_path(models / "model.pt") as partial:
        torch.save(network.state_dict(), partial)
    config = NetworkConfig(**shipped.network)
    example = torch.zeros(1, config.context * config.out_channels, _TRACED_SIDE, _TRACED_SIDE)
    traced = convert_to_torchscript(network, inputs=[example], use_trace=True)
    metadata = _read(folder / "configs" / "metadata.json")
    save_net_with_metadata(
        traced, str(models / "model.ts"), meta_values=metadata, include_config_vals=False, append_timestamp=False
    )
    entries = []
    for file in sorted(models.iterdir()):
        path = file.relative_to(folder).as_posix()
        # Without an address: the files are in the bundle. A zoo that hosts them elsewhere fills it in.
        entries.append(f'  - path: "{path}"\n    url: ""\n    hash_val: "{file_sha256(file)}"\n    hash_type: "sha256"')
    write_whole(folder / "large_files.yml", "\n".join(["large_files:", *entries]) + "\n")
    return shipped


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(content, indent=4, ensure_ascii=False) + "\n")
