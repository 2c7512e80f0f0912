"""CLIP's weights: where the file is found, and whether it is OpenAI's release."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ctdenoise.errors import InputError
from ctdenoise.files import file_sha256
from ctdenoise.models.choices import ClipWeights
from ctdenoise.models.encoder import FeatureEncoder, build_encoder
from ctdenoise.models.weights import load_encoder

logger = logging.getLogger(__name__)

#: Environment variable with the path of a file of CLIP's weights, for machines that cannot reach the hub.
CLIP_WEIGHTS_VARIABLE = "CTDENOISE_CLIP_WEIGHTS"
#: open_clip's name of the layout, for each name of CLIP's weights.
CLIP_LAYOUTS: dict[str, str] = {
    ClipWeights.RN50: "RN50",
    ClipWeights.RN101: "RN101",
    ClipWeights.RN50X4: "RN50x4",
    ClipWeights.RN50X16: "RN50x16",
}
#: Suffix of names of encoders whose tensors are not known to be those of OpenAI's release.
UNVERIFIED = "-unverified"
#: Names of open_clip's files on the hub; it prefers the first.
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def clip_weights(name: str) -> Path:
    """Return the path of a file with CLIP's weights.

    It is the file that the environment variable ``CTDENOISE_CLIP_WEIGHTS`` names, else the file in the open_clip hub's
    cache, else it is downloaded from the hub into that cache.

    Parameters
    ----------
    name
        ``clip-rn50``, ``clip-rn101``, ``clip-rn50x4`` or ``clip-rn50x16``.

    Raises
    ------
    InputError
        If the weights are not found, or the downloaded file does not have the SHA-256 that the hub announces.
    """
    if name not in CLIP_LAYOUTS:
        raise InputError(f"expected one of {', '.join(ClipWeights)}, found {name}")
    return _given_weights() or _hub_weights(name)


def _given_weights() -> Path | None:
    variable = os.environ.get(CLIP_WEIGHTS_VARIABLE)
    return Path(variable) if variable else None


def _release(name: str) -> dict[str, Any]:
    """Return open_clip's description of OpenAI's release: ``url``, ``hf_hub``."""
    import open_clip

    release: dict[str, Any] = open_clip.get_pretrained_cfg(CLIP_LAYOUTS[name], "openai")
    return release


def _release_sha256(name: str) -> str:
    """Return the SHA-256 of OpenAI's file, which is a part of its address."""
    found = re.search("/([0-9a-f]{64})/", _release(name)["url"])
    return found[1] if found else "unknown"


def _hub_weights(name: str) -> Path:
    """Return the path of CLIP's weights in the hub's cache; download them if they are not there."""
    import open_clip
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    release = _release(name)
    repository = release["hf_hub"].rstrip("/")
    cached = [try_to_load_from_cache(repository, file) for file in _HUB_FILES]
    found = next((file for file in cached if isinstance(file, str)), None)
    try:
        if found is None:
            # Fails at once if the hub cannot be reached; a download would retry for a minute.
            with suppress(EntryNotFoundError):
                get_hf_file_metadata(hf_hub_url(repository, _HUB_FILES[0]))
            found = open_clip.download_pretrained(release)
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        raise InputError(
            f"no weights for {name} in the hub's cache, and the hub cannot be reached",
            hint=(
                "there are three ways to get them: run this where the hub can be reached; copy the hub's cache folder "
                "from a machine that has them; or give a file (RN50.pt from OpenAI, open_clip's .bin or .safetensors, "
                f"a state dict) as --encoder_weights FILE or in {CLIP_WEIGHTS_VARIABLE}. "
                "Without them, use --encoder ctdenoise-rn50, or a model that ships with ctdenoise"
            ),
        ) from error
    path = Path(found)
    # The hub's cache names a file after the SHA-256 that the hub announces for it.
    announced = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", announced) and (sha256 := file_sha256(path)) != announced:
        raise InputError(
            f"expected SHA-256 {announced}, found {sha256}",
            path=path.resolve(),
            hint="the download is damaged: delete this file and try again",
        )
    return path


def verified_name(name: str, encoder: FeatureEncoder, file: Path | None = None) -> str:
    """Return the name of a model's encoder, marked as unverified if it is called CLIP's and not known to be that.

    Parameters
    ----------
    name
        Name of the encoder that the training began with.
    encoder
        The model's encoder.
    file
        The weights file that the training was given, if any.

    Returns
    -------
    str
        The name; for the names of CLIP's weights followed by :data:`UNVERIFIED` if the encoder's tensors differ from
        the file's, if no file is found, or if the SHA-256 of a given file is not that of OpenAI's release.
    """
    if name not in CLIP_LAYOUTS:
        return name
    try:
        _verify(name, encoder, file or _given_weights())
    except InputError as error:
        logger.warning("the encoder is named %s%s: %s", name, UNVERIFIED, error)
        return name + UNVERIFIED
    return name


def _verify(name: str, encoder: FeatureEncoder, given: Path | None) -> None:
    path = given or _hub_weights(name)
    with torch.device("meta"):
        reference = build_encoder(CLIP_LAYOUTS[name])
    load_encoder(reference, path)
    if given is not None and (sha256 := file_sha256(given)) != (expected := _release_sha256(name)):
        raise InputError(f"expected SHA-256 {expected} of OpenAI's release, found {sha256}", path=given)
    own = encoder.state_dict()
    for tensor, value in reference.state_dict().items():
        if not tensor.endswith("num_batches_tracked") and not torch.equal(value, own[tensor]):
            raise InputError(f"expected the tensors of {name} in the model, found another {tensor}", path=path)
