"""A checkpoint of the authors' layout gives, imported, what their forward pass gives."""

from __future__ import annotations

import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet
from torch.nn import functional as F

from ctdenoise.errors import InputError
from ctdenoise.models import zoo
from ctdenoise.models.authors import import_authors


def checkpoint(channels: int) -> dict[str, torch.Tensor]:
    """Random tensors under the names and in the shapes of ``net_g_latest.pth``."""
    generator = torch.Generator().manual_seed(0)
    tower = ModifiedResNet(layers=(3, 4, 6, 3), output_dim=1, heads=1, width=64).state_dict()
    state = {f"encoder.{k}": v.clone() for k, v in tower.items() if not k.startswith("attnpool")}
    for name, value in state.items():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    sizes = [(1024, 512), (1024, 256), (512, 128), (192, 64), (67, 64)]
    for i, (before, after) in enumerate(sizes):
        for j, channels_in in ((0, before), (2, after)):
            weight = torch.randn(after, channels_in, 3, 3, generator=generator) / (9 * channels_in) ** 0.5
            state[f"up_path.{i}.conv_block.block.{j}.weight"] = weight
    state["last.weight"] = torch.randn(channels, 64, 3, 3, generator=generator) / 24
    if channels == 1:
        state["first.weight"] = torch.randn(3, 1, 1, 1, generator=generator)
    return state


def reference(state: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """Their order of operations, written down from the paper's code: layer4 is run and thrown away."""
    tower = ModifiedResNet(layers=(3, 4, 6, 3), output_dim=1, heads=1, width=64)
    del tower.attnpool
    tower.load_state_dict({k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")})
    tower.eval()
    if "first.weight" in state:
        image = F.conv2d(image, state["first.weight"])
    maps = [image]
    x = tower.act1(tower.bn1(tower.conv1(image)))
    x = tower.act2(tower.bn2(tower.conv2(x)))
    x = tower.act3(tower.bn3(tower.conv3(x)))
    maps.append(x)
    x = tower.avgpool(x)
    for layer in (tower.layer1, tower.layer2, tower.layer3):
        x = layer(x)
        maps.append(x)
    tower.layer4(x)
    for i in range(5):
        if i > 0:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = torch.cat([x, maps[-i - 1]], 1)
        for j in (0, 2):
            x = F.leaky_relu(F.conv2d(x, state[f"up_path.{i}.conv_block.block.{j}.weight"], padding=1), 0.2)
    return F.conv2d(x, state["last.weight"], padding=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_imported_model_is_theirs(channels, tmp_path):
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


def test_what_is_not_theirs_is_refused_with_what_differs(tmp_path):
    state = checkpoint(1)
    del state["up_path.2.conv_block.block.2.weight"]
    state["attention.weight"] = torch.zeros(2)
    torch.save({"params": state}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"missing decoder\.up\.1\.2\.weight; surplus attention\.weight"):
        import_authors(tmp_path / "other.pth", tmp_path / "model")
    torch.save({"params": {"weight": torch.zeros(2)}}, tmp_path / "none.pth")
    with pytest.raises(InputError, match="expected a checkpoint of CLIPDenoising"):
        import_authors(tmp_path / "none.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_model_is_not_replaced(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(InputError, match="there is a model already"):
        import_authors(tmp_path / "net_g_latest.pth", tmp_path / "model")
