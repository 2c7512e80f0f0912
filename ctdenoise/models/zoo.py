"""The zoo of trained models: find, verify, load and save them.

A model is a folder with ``model.json`` and a decoder file; the encoder file may be shared with other models.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ctdenoise.errors import Help, InputError
from ctdenoise.files import file_sha256, write_whole

if TYPE_CHECKING:
    from torch import nn

    from ctdenoise.models.averaging import NeighbourAveraging
    from ctdenoise.models.encoder import FeatureEncoder

#: The models that ship with ctdenoise: a folder for each, and ``encoders/`` with the encoder files they share.
PRETRAINED = Path(__file__).parent / "pretrained"
DEFAULT_MODEL = "ct-lowdose"
#: The file of a model's decoder, or of its whole network where it has no encoder.
DECODER_FILE = "decoder.safetensors"
#: The file of a model's encoder, where it is not shared with other models.
ENCODER_FILE = "encoder.safetensors"
#: The file of the weights with which a model averages slices with their neighbours.
AVERAGING_FILE = "averaging.safetensors"


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """The content of ``model.json``.

    Attributes
    ----------
    name, version, summary, licence, training_data
        Descriptions for users and manifests.
    encoder_name
        Name of the encoder; only encoders with OpenAI's CLIP weights are called ``clip-…`` without a suffix. None for
        networks without an encoder.
    network
        Fields of :class:`~ctdenoise.models.denoiser.NetworkConfig`.
    hu_range
        The HU that the network sees as 0 and 1; None for models of photographs.
    encoder_file, decoder_file
        Weights files, relative to the folder of ``model.json``; `encoder_file` is None for networks without an encoder.
    encoder_sha256, decoder_sha256
        SHA-256 of the weights files. A decoder can be used only with the encoder it was trained on.
    correlated_noise
        ``"pixel-shuffle"``: photographs whose noise is spatially correlated are denoised as sub-images, see
        :mod:`ctdenoise.inference.correlation`. None: all noise is treated alike.
    training_noise
        Standard deviation of the noise in training, [0, 1]: photographs with stronger noise are brought to this level
        for the network, see :mod:`ctdenoise.inference.level`. None: the network gets every image as it is.

    averaging_file, averaging_sha256
        Weights file of a :class:`~ctdenoise.models.averaging.NeighbourAveraging`, with which each denoised slice is
        averaged with its denoised neighbours. None: each slice by itself, or as the network has context.

    Raises
    ------
    ValueError
        If `correlated_noise` is neither, `training_noise` is not a positive number, or `averaging_file` is given for
        photographs or a network with context.
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
    correlated_noise: str | None = None
    training_noise: float | None = None
    averaging_file: str | None = None
    averaging_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.correlated_noise not in (None, "pixel-shuffle"):
            raise ValueError(f"correlated_noise: expected 'pixel-shuffle' or null, found {self.correlated_noise!r}")
        if self.training_noise is not None and not self.training_noise > 0:
            raise ValueError(f"training_noise: expected a number above 0 or null, found {self.training_noise!r}")
        if self.averaging_file is not None and (self.hu_range is None or self.network.get("context", 1) > 1):
            raise ValueError("averaging_file: expected null for photographs and for a network with context")

    @property
    def sha256(self) -> str:
        """SHA-256 that identifies the weights files together."""
        parts = (self.encoder_sha256, self.decoder_sha256, self.averaging_sha256)
        return hashlib.sha256("".join(part or "" for part in parts).encode()).hexdigest()


def available() -> list[str]:
    """Return the names of the models that ship with ctdenoise, in alphabetical order."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/model.json"))


def model_folder(name_or_path: str | Path) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name_or_path
        Name of a model that ships with ctdenoise, or path of a model folder.

    Raises
    ------
    InputError
        If there is no such model.
    """
    for folder in (PRETRAINED / name_or_path, Path(name_or_path)):
        if (folder / "model.json").is_file():
            return folder
    raise InputError(
        f"expected one of {', '.join(available())} or a folder with a model.json, found neither",
        path=name_or_path,
        hint="ctdenoise models list shows the models that ship",
        see=Help.NO_MODEL,
    )


def describe(name_or_path: str | Path) -> ModelDescription:
    """Read a model's ``model.json``; the weights files are not read.

    Raises
    ------
    InputError
        If there is no such model, or ``model.json`` lacks fields or has unknown ones.
    """
    path = model_folder(name_or_path) / "model.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["hu_range"] = fields["hu_range"] and tuple(fields["hu_range"])
        return ModelDescription(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"expected the fields of a model description, found: {error}", path=path) from error


def verify(name_or_path: str | Path) -> ModelDescription:
    """Check the SHA-256 of a model's weights files.

    Raises
    ------
    InputError
        If a file is missing or its SHA-256 differs.
    """
    folder, description = model_folder(name_or_path), describe(name_or_path)
    for file, expected in (
        (description.encoder_file, description.encoder_sha256),
        (description.decoder_file, description.decoder_sha256),
        (description.averaging_file, description.averaging_sha256),
    ):
        if file is None:
            continue
        path = folder / file
        if not path.is_file():
            raise InputError("expected a weights file, found no file", path=path)
        found = file_sha256(path)
        if found != expected:
            raise InputError(
                f"expected SHA-256 {expected}, found {found}",
                path=path,
                hint="the file is damaged or belongs to another model; install ctdenoise or export the model again",
            )
    return description


def load_model(name_or_path: str | Path) -> tuple[nn.Module, ModelDescription]:
    """Verify a model's weights files and build its network.

    Returns
    -------
    tuple
        The network in evaluation mode, on the CPU, in float32; and the model's description.

    Raises
    ------
    InputError
        If there is no such model, or its files do not match its description.
    """
    import torch

    from ctdenoise.models.denoiser import NetworkConfig, build_network
    from ctdenoise.models.weights import load_decoder, load_encoder

    description = verify(name_or_path)
    folder = model_folder(name_or_path)
    # No initial weights are drawn on the meta device: faster, and torch's global generator is not used.
    with torch.device("meta"):
        network = build_network(NetworkConfig(**description.network))
    if description.encoder_file is not None:
        load_encoder(cast("FeatureEncoder", network.encoder), folder / description.encoder_file)
    load_decoder(network, folder / description.decoder_file)
    return network.eval(), description


def load_averaging(name_or_path: str | Path, description: ModelDescription) -> NeighbourAveraging | None:
    """Build what averages the model's slices with their neighbours; None if it does not.

    Raises
    ------
    InputError
        If the file does not hold its weights.
    """
    if description.averaging_file is None:
        return None
    import torch

    from ctdenoise.models.averaging import NeighbourAveraging
    from ctdenoise.models.weights import read_state

    path = model_folder(name_or_path) / description.averaging_file
    with torch.device("meta"):  # as for the network, no initial weights are drawn
        averaging = NeighbourAveraging()
    try:
        averaging.load_state_dict(read_state(path), assign=True)
    except RuntimeError as error:
        raise InputError("expected weights of NeighbourAveraging, found other tensors", path=path) from error
    return averaging.eval()


def save_model(
    model: nn.Module,
    folder: Path,
    *,
    encoder_file: str = ENCODER_FILE,
    dtype: str = "float16",
    **description: Any,
) -> ModelDescription:
    """Write a network as a model folder.

    Parameters
    ----------
    model
        The network.
    folder
        The model's folder; created if absent.
    encoder_file
        Encoder file, relative to `folder`. If it exists, it is not written again and must hold the network's encoder.
    dtype
        Data type in which convolutions are stored: ``"float16"`` or ``"float32"``.
    description
        The other fields of :class:`ModelDescription`, without the file hashes.

    Returns
    -------
    ModelDescription
        What was written to ``model.json``.

    Raises
    ------
    InputError
        If `encoder_file` exists and holds other weights.
    OSError
        If a file cannot be written.
    """
    import torch

    from ctdenoise.models.weights import check_encoder, decoder_state, save_weights

    folder.mkdir(parents=True, exist_ok=True)
    torch_dtype = getattr(torch, dtype)
    encoder, decoder = folder / encoder_file, folder / DECODER_FILE
    has_encoder = description["network"].get("encoder") is not None
    if has_encoder and encoder.exists():
        check_encoder(cast("nn.Module", model.encoder), encoder)
    elif has_encoder:
        encoder.parent.mkdir(parents=True, exist_ok=True)
        save_weights(cast("nn.Module", model.encoder).state_dict(), encoder, dtype=torch_dtype)
    save_weights(decoder_state(model), decoder, dtype=torch_dtype)
    full = ModelDescription(
        encoder_file=encoder_file if has_encoder else None,
        encoder_sha256=file_sha256(encoder) if has_encoder else None,
        decoder_file=decoder.name,
        decoder_sha256=file_sha256(decoder),
        **description,
    )
    write_description(folder, full)
    return full


def copy_weights(name_or_path: str | Path, folder: Path) -> ModelDescription:
    """Copy a model's weights files into a folder, under their usual names.

    Returns
    -------
    ModelDescription
        With these names; for :func:`write_description`.

    Raises
    ------
    InputError
        If there is no such model.
    """
    description, source = describe(name_or_path), model_folder(name_or_path)
    usual = {"encoder_file": ENCODER_FILE, "decoder_file": DECODER_FILE, "averaging_file": AVERAGING_FILE}
    names: dict[str, Any] = {field: name for field, name in usual.items() if getattr(description, field)}
    for field, name in names.items():
        shutil.copy2(source / getattr(description, field), folder / name)
    return replace(description, **names)


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write ``model.json``; OSError if it cannot be written."""
    write_whole(folder / "model.json", json.dumps(asdict(description), indent=2, ensure_ascii=False) + "\n")
