"""The zoo: models by name or folder; a model is an encoder file, a decoder file and ``model.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctdenoise.errors import InputError

if TYPE_CHECKING:
    from ctdenoise.models.denoiser import ClipDenoiser

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
        HU that become 0 and 1.
    encoder_file, decoder_file
        Relative to the folder of ``model.json``.
    encoder_sha256, decoder_sha256
        Of these files. A decoder works only with the encoder it was trained on.
    """

    name: str
    version: str
    summary: str
    licence: str
    training_data: str
    encoder_name: str
    network: Mapping[str, Any]
    hu_range: tuple[float, float]
    encoder_file: str
    encoder_sha256: str
    decoder_file: str
    decoder_sha256: str

    @property
    def sha256(self) -> str:
        """Identifies the pair of weights files."""
        return hashlib.sha256(f"{self.encoder_sha256}{self.decoder_sha256}".encode()).hexdigest()


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
        fields["hu_range"] = tuple(fields["hu_range"])
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


def load_model(name_or_path: str | Path) -> tuple[ClipDenoiser, ModelDescription]:
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
    load_encoder(network.encoder, folder / description.encoder_file)
    load_decoder(network, folder / description.decoder_file)
    return network.eval(), description


def save_model(
    model: ClipDenoiser,
    folder: Path,
    *,
    encoder_file: str = "encoder.safetensors",
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
    description
        The other fields of :class:`ModelDescription`, without file hashes.

    Raises
    ------
    InputError
        If `encoder_file` exists and holds other weights.
    """
    from ctdenoise.models.weights import check_encoder, file_sha256, save_weights

    folder.mkdir(parents=True, exist_ok=True)
    encoder, decoder = folder / encoder_file, folder / "decoder.safetensors"
    if encoder.exists():
        check_encoder(model.encoder, encoder)
    else:
        encoder.parent.mkdir(parents=True, exist_ok=True)
        save_weights(model.encoder.state_dict(), encoder)
    save_weights(model.decoder_state(), decoder)
    full = ModelDescription(
        encoder_file=encoder_file,
        encoder_sha256=file_sha256(encoder),
        decoder_file=decoder.name,
        decoder_sha256=file_sha256(decoder),
        **description,
    )
    partial = folder / ".model.json.partial"
    partial.write_text(json.dumps(asdict(full), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / "model.json")
    return full
