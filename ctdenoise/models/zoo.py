"""The zoo: models by name or folder; a model is an encoder file, a decoder file and ``model.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ctdenoise.errors import InputError
from ctdenoise.files import write_whole

if TYPE_CHECKING:
    from torch import nn

    from ctdenoise.models.encoder import FeatureEncoder

#: What ships: one folder a model, and ``encoders/`` with the files they share.
PRETRAINED = Path(__file__).parent / "pretrained"
DEFAULT_MODEL = "ct-lowdose"


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What ``model.json`` says.

    Attributes
    ----------
    name, version, summary, licence, training_data
        For people and manifests.
    encoder_name
        Says honestly what the encoder is; only CLIP's own weights are called ``clip-…``.
    network
        Fields of :class:`~ctdenoise.models.denoiser.NetworkConfig`.
    hu_range
        HU that become 0 and 1; None for models of photographs.
    encoder_file, decoder_file
        Relative to the folder of ``model.json``. A baseline has no encoder.
    encoder_sha256, decoder_sha256
        Of these files. A decoder works only with the encoder it was trained on.
    """

    name: str
    version: str
    summary: str
    licence: str
    training_data: str
    encoder_name: str | None
    network: Mapping[str, Any]
    hu_range: tuple[float, float] | None
    encoder_file: str | None
    encoder_sha256: str | None
    decoder_file: str
    decoder_sha256: str

    @property
    def sha256(self) -> str:
        """Identifies the pair of weights files."""
        return hashlib.sha256(f"{self.encoder_sha256 or ''}{self.decoder_sha256}".encode()).hexdigest()


def available() -> list[str]:
    """Return the names of the models that ship, in alphabetical order."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/model.json"))


def model_folder(name_or_path: str | Path) -> Path:
    """Return the folder of a model, by the name of one that ships or by path.

    Raises
    ------
    InputError
        If there is none.
    """
    for folder in (PRETRAINED / name_or_path, Path(name_or_path)):
        if (folder / "model.json").is_file():
            return folder
    raise InputError(
        f"expected one of {', '.join(available())} or a folder with a model.json, found neither",
        path=name_or_path,
        hint="ctdenoise models list shows what there is",
    )


def describe(name_or_path: str | Path) -> ModelDescription:
    """Read a model's ``model.json``.

    Raises
    ------
    InputError
        If there is no such model, or its fields are not the ones expected.
    """
    path = model_folder(name_or_path) / "model.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["hu_range"] = fields["hu_range"] and tuple(fields["hu_range"])
        return ModelDescription(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"expected the fields of a model description, found: {error}", path=path) from error


def verify(name_or_path: str | Path) -> ModelDescription:
    """Check that a model's weights files are the ones its description names.

    Raises
    ------
    InputError
        If a file is missing or its SHA-256 differs.
    """
    from ctdenoise.models.weights import file_sha256

    folder, description = model_folder(name_or_path), describe(name_or_path)
    for file, expected in (
        (description.encoder_file, description.encoder_sha256),
        (description.decoder_file, description.decoder_sha256),
    ):
        if file is None:
            continue
        path = folder / file
        if not path.is_file():
            raise InputError("expected a weights file, found nothing there", path=path)
        found = file_sha256(path)
        if found != expected:
            raise InputError(
                f"expected SHA-256 {expected}, found {found}",
                path=path,
                hint="the file is damaged or belongs to another model; install ctdenoise again or export again",
            )
    return description


def load_model(name_or_path: str | Path) -> tuple[nn.Module, ModelDescription]:
    """Build a model's network with its verified weights, in evaluation mode, on the CPU, float32.

    Raises
    ------
    InputError
        If anything about the model is not as its description says.
    """
    from ctdenoise.models.denoiser import NetworkConfig, build_network
    from ctdenoise.models.weights import load_decoder, load_encoder

    description = verify(name_or_path)
    folder = model_folder(name_or_path)
    network = build_network(NetworkConfig(**description.network))
    if description.encoder_file is not None:
        load_encoder(cast("FeatureEncoder", network.encoder), folder / description.encoder_file)
    load_decoder(network, folder / description.decoder_file)
    return network.eval(), description


def save_model(
    model: nn.Module,
    folder: Path,
    *,
    encoder_file: str = "encoder.safetensors",
    dtype: str = "float16",
    **description: Any,
) -> ModelDescription:
    """Write a network as a model folder.

    Parameters
    ----------
    model
        The network.
    folder
        Made if it is not there.
    encoder_file
        Relative to `folder`. If this file exists, it stays as it is and must hold the network's encoder.
    dtype
        Of the convolutions in the files: ``"float16"`` or ``"float32"``.
    description
        The other fields of :class:`ModelDescription`, without file hashes.

    Raises
    ------
    InputError
        If `encoder_file` exists and holds other weights.
    """
    import torch

    from ctdenoise.models.weights import check_encoder, decoder_state, file_sha256, save_weights

    folder.mkdir(parents=True, exist_ok=True)
    stored_as = getattr(torch, dtype)
    encoder, decoder = folder / encoder_file, folder / "decoder.safetensors"
    has_encoder = description["network"].get("encoder") is not None
    if has_encoder and encoder.exists():
        check_encoder(cast("nn.Module", model.encoder), encoder)
    elif has_encoder:
        encoder.parent.mkdir(parents=True, exist_ok=True)
        save_weights(cast("nn.Module", model.encoder).state_dict(), encoder, dtype=stored_as)
    save_weights(decoder_state(model), decoder, dtype=stored_as)
    full = ModelDescription(
        encoder_file=encoder_file if has_encoder else None,
        encoder_sha256=file_sha256(encoder) if has_encoder else None,
        decoder_file=decoder.name,
        decoder_sha256=file_sha256(decoder),
        **description,
    )
    write_whole(folder / "model.json", json.dumps(asdict(full), indent=2, ensure_ascii=False) + "\n")
    return full
