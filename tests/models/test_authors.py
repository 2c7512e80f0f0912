"""An imported checkpoint of the authors gives the output of their forward pass."""

from __future__ import annotations

import pytest
import torch

from ctdenoise.errors import InputError
from ctdenoise.models import NetworkConfig, build_network, zoo
from ctdenoise.models.authors import import_authors
from ctdenoise.models.weights import decoder_state, save_weights
from tests.models.test_denoiser import Reference, drifted


def checkpoint(channels: int) -> dict[str, torch.Tensor]:
    """Return random tensors with the names and shapes of ``net_g_latest.pth``."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = drifted(Reference(channels)).state_dict()
    return {name: value for name, value in state.items() if not name.startswith("encoder.attnpool")}


def reference(state: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """Return the output of the authors' forward pass."""
    model = Reference(image.shape[1]).eval()
    missing, surplus = model.load_state_dict(state, strict=False)
    assert not surplus
    assert all(name.startswith("encoder.attnpool") for name in missing)
    return model(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_imported_model_gives_the_output_of_the_authors_network(channels, tmp_path):
    state = checkpoint(channels)
    torch.save({"params": state}, tmp_path / "net_g_latest.pth")
    import_authors(tmp_path / "net_g_latest.pth", tmp_path / "theirs")
    model, description = zoo.load_model(tmp_path / "theirs")
    assert description.name == "theirs"
    assert description.encoder_name == "clip-rn50-adapted"
    assert description.hu_range == ((-1024.0, 3072.0) if channels == 1 else None)
    assert "SHA-256" in (tmp_path / "theirs" / "README.md").read_text()
    image = torch.rand(1, channels, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(image), reference(state, image), rtol=1e-6, atol=1e-6)


def test_other_checkpoints_are_refused_and_differing_tensors_are_named(tmp_path):
    state = checkpoint(1)
    del state["up_path.2.conv_block.block.2.weight"]
    state["attention.weight"] = torch.zeros(2)
    torch.save({"params": state}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"missing decoder\.up\.1\.2\.weight; unexpected attention\.weight"):
        import_authors(tmp_path / "other.pth", tmp_path / "model")
    torch.save({"params": {"weight": torch.zeros(2)}}, tmp_path / "none.pth")
    with pytest.raises(InputError, match=r"the paper's authors .*, found no tensor encoder\.conv1\.weight"):
        import_authors(tmp_path / "none.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_checkpoints_and_decoders_of_ctdenoise_are_refused_in_one_line(tmp_path):
    network = build_network(NetworkConfig(encoder="RN50", grey_input="conv", align_corners=True))
    torch.save({"model": network.state_dict()}, tmp_path / "best.pt")
    save_weights(decoder_state(network), tmp_path / "decoder.safetensors")
    for name in ("best.pt", "decoder.safetensors"):
        with pytest.raises(InputError, match=r"found weights of ctdenoise; .* with ctdenoise export") as error:
            import_authors(tmp_path / name, tmp_path / "model")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "model").exists()


def test_an_existing_model_is_not_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(InputError, match="found a model in it"):
        import_authors(tmp_path / "net_g_latest.pth", tmp_path / "model")
