"""Only encoders with the tensors of OpenAI's release are called CLIP's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from ctdenoise.models import build_encoder, clip
from ctdenoise.models.choices import ClipWeights
from ctdenoise.models.clip import CLIP_LAYOUTS, CLIP_WEIGHTS_VARIABLE, verified_name
from ctdenoise.models.encoder import CLIP_RESNETS
from ctdenoise.models.weights import load_encoder


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.save(build_encoder("RN50").half().state_dict(), tmp_path / "RN50.pt")
    return tmp_path / "RN50.pt"


@pytest.fixture
def released(weights, monkeypatch) -> Path:
    """Let open_clip name this file as OpenAI's release."""
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr(clip, "_release", lambda _: {"url": f"https://example.org/{sha256}/RN50.pt"})
    return weights


def loaded(weights: Path):
    encoder = build_encoder("RN50")
    load_encoder(encoder, weights)
    return encoder


def test_the_released_file_is_verified_given_as_file_or_by_the_environment(released, monkeypatch):
    assert verified_name("clip-rn50", loaded(released), released) == "clip-rn50"
    monkeypatch.setenv(CLIP_WEIGHTS_VARIABLE, str(released))
    assert verified_name("clip-rn50", loaded(released)) == "clip-rn50"


def test_an_encoder_that_changed_after_loading_is_unverified(released, caplog):
    encoder = loaded(released)
    with torch.no_grad():
        encoder.bn1.running_mean += 1
    assert verified_name("clip-rn50", encoder, released) == "clip-rn50-unverified"
    assert "found another bn1.running_mean" in caplog.text


def test_other_files_and_absent_files_are_unverified(weights, tmp_path, caplog):
    assert verified_name("clip-rn50", loaded(weights), weights) == "clip-rn50-unverified"
    # The SHA-256 that OpenAI published for RN50.pt.
    assert "expected SHA-256 afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762" in caplog.text
    assert verified_name("clip-rn50", loaded(weights), tmp_path / "absent.pt") == "clip-rn50-unverified"


def test_other_encoders_keep_their_name(weights):
    assert verified_name("ctdenoise-rn50", loaded(weights)) == "ctdenoise-rn50"


def test_each_name_of_clips_weights_has_a_layout():
    assert set(CLIP_LAYOUTS) == set(ClipWeights)
    assert sorted(CLIP_LAYOUTS.values()) == sorted(CLIP_RESNETS)
