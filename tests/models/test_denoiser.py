"""The network equals the paper's: parameter counts, tensors, output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import nn

from ctdenoise.models import NetworkConfig, build_network
from ctdenoise.models.denoiser import apply_to_any_size
from ctdenoise.models.weights import decoder_state

PAPER = NetworkConfig(encoder="RN50", grey_input="conv", align_corners=True)


class Reference(nn.Module):
    """Independent copy of the reference implementation: its operations and tensor names, including layer4."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        if channels == 1:
            self.first = nn.Conv2d(1, 3, 1, bias=False)
        self.encoder = ModifiedResNet(layers=(3, 4, 6, 3), output_dim=1024, heads=32, width=64)
        self.up_path = nn.ModuleList()
        for cin, cout in ((1024, 512), (512 + 512, 256), (256 + 256, 128), (128 + 64, 64), (64 + 3, 64)):
            block = nn.Sequential(
                nn.Conv2d(cin, cout, 3, padding=1, bias=False),
                nn.LeakyReLU(0.2),
                nn.Conv2d(cout, cout, 3, padding=1, bias=False),
                nn.LeakyReLU(0.2),
            )
            self.up_path.append(nn.ModuleDict({"conv_block": nn.ModuleDict({"block": block})}))
        self.last = nn.Conv2d(64, channels, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if hasattr(self, "first"):
            x = self.first(x)
        maps = [x]
        e = self.encoder
        for conv, bn, act in ((e.conv1, e.bn1, e.act1), (e.conv2, e.bn2, e.act2), (e.conv3, e.bn3, e.act3)):
            x = act(bn(conv(x)))
        maps.append(x)
        x = e.avgpool(x)
        for layer in (e.layer1, e.layer2, e.layer3):
            x = layer(x)
            maps.append(x)
        e.layer4(x)
        blocks = [up["conv_block"]["block"] for up in self.up_path]
        up = blocks[0](maps[4])
        upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        for block, skip in zip(blocks[1:], (maps[3], maps[2], maps[1], maps[0]), strict=True):
            up = block(torch.cat([upsample(up), skip], 1))
        return self.last(up)


def drifted(reference: Reference) -> Reference:
    """Change the BatchNorm statistics from their initial values, as training does."""
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return reference.eval()


def test_parameter_counts_are_those_of_the_paper():
    network = build_network(PAPER)
    assert sum(p.numel() for p in network.encoder.parameters()) == 8_562_528
    assert sum(v.numel() for v in decoder_state(network).values()) == 10_987_779


def test_the_output_equals_that_of_the_reference_implementation_with_the_same_weights():
    torch.manual_seed(0)
    reference = drifted(Reference())
    network = build_network(PAPER).eval()
    encoder = {
        name: value
        for name, value in reference.encoder.state_dict().items()
        if not name.startswith(("layer4", "attnpool"))
    }
    network.encoder.load_state_dict(encoder, strict=True)
    ours = list(decoder_state(network))
    theirs = [reference.first.weight, *(p for block in reference.up_path for p in block.parameters())]
    assert len(ours) == len(theirs) + 1
    network.load_state_dict(dict(zip(ours, [*theirs, reference.last.weight], strict=True)), strict=False)
    image = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(image), reference(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("encoder", ["RN101", "RN50x4", "RN50x16", "resnet50", "resnet18"])
def test_other_encoders_can_be_used(encoder):
    network = build_network(NetworkConfig(encoder=encoder)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, 32, 48)).shape == (1, 1, 32, 48)


def test_colour_images_are_denoised_to_colour_images():
    network = build_network(NetworkConfig(encoder="RN50", out_channels=3)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_repeated_grey_equals_three_equal_channels():
    network = build_network(NetworkConfig(encoder="RN50", grey_input="repeat"), seed=1).eval()
    grey = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(grey), network(grey.repeat(1, 3, 1, 1)))


def test_a_residual_network_starts_at_the_image_and_preserves_local_means():
    network = build_network(NetworkConfig(encoder="resnet18", residual=9), seed=0).eval()
    image = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(image), image[:, :1])
        nn.init.normal_(network.decoder.last.weight, std=0.1)
        change = network(image) - image[:, :1]
    assert change.std() > 0.01
    # The change has little mean over 27 × 27 pixels, because its moving average over 9 × 9 pixels was subtracted.
    means = nn.functional.avg_pool2d(change, 27, stride=9)
    assert means.abs().max() < 0.2 * change.std()


def test_with_context_the_middle_slice_is_redrawn():
    config = NetworkConfig(encoder="resnet18", residual=9, context=3)
    network = build_network(config, seed=0).eval()
    image = torch.rand(2, config.in_channels, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(image), image[:, 1:2])


def test_a_seed_repeats_the_weights_and_does_not_change_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a = build_network(PAPER, seed=3)
    assert torch.equal(torch.rand(1), expected)
    b = build_network(PAPER, seed=3)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grey_input": "luma"}, "'conv' or 'repeat'"),
        ({"grey_input": "conv", "out_channels": 3}, "out_channels=1"),
        ({"residual": 4}, "expected 0 or an odd number, found 4"),
        ({"context": 2}, "context: expected an odd number of slices, found 2"),
        ({"context": 5}, "found 5 slices, architecture 'clip'"),
        ({"context": 3, "out_channels": 3}, "out_channels=3"),
        ({"context": 3, "grey_input": "conv"}, "grey_input='conv'"),
    ],
)
def test_invalid_configurations_are_refused_with_a_reason(fields, message):
    with pytest.raises(ValueError, match=message):
        NetworkConfig(encoder="RN50", **fields)


def test_only_half_pixel_upsampling_lets_tiles_equal_the_whole():
    image = torch.rand(1, 1, 128, 512)
    difference = {}
    for align_corners in (False, True):
        network = build_network(NetworkConfig(encoder="RN50", align_corners=align_corners), seed=0).eval()
        with torch.no_grad():
            whole = network(image)[..., 176:192]
            tile = network(image[..., :368])[..., 176:192]
        difference[align_corners] = ((whole - tile).abs().max() / whole.std()).item()
    assert difference[False] < 1e-3 < difference[True]


@pytest.mark.parametrize("rows", [1, 2, 5, 16, 17, 40])
@pytest.mark.parametrize("columns", [1, 7, 15, 33])
def test_images_of_any_size_are_extended_by_reflection_and_cropped_again(rows, columns):
    image = torch.rand(2, 1, rows, columns)
    inputs = []

    def network(extended: torch.Tensor) -> torch.Tensor:
        inputs.append(extended)
        return extended + 1

    assert torch.equal(apply_to_any_size(network, image), image + 1)
    margins = ((0, 0), (0, 0), (0, -rows % 16), (0, -columns % 16))
    np.testing.assert_array_equal(inputs[0].numpy(), np.pad(image.numpy(), margins, mode="reflect"))
