"""The networks are what their papers and the tutorial say."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from resnet import ARCHITECTURES, create
from resnet.networks import BasicBlock, Bottleneck, ResBlock

PAPER = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


def randomize_batchnorm(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)


@pytest.mark.parametrize("name", PAPER)
def test_torchvision_weights_load_and_give_torchvision_logits(name):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(weights=None).eval()
    randomize_batchnorm(theirs)
    ours = create(name, in_channels=3, num_classes=1000, stem="standard").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)


def tutorial_logits(w, x):
    """The tutorial's forward pass, written out over its parameters `w`."""

    def conv(x, name, padding=0):
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)

    def block(x, name):
        return F.relu(conv(conv(x, f"{name}.conv1", 2), f"{name}.conv2", 1) + x)

    x = block(F.relu(F.max_pool2d(conv(x, "conv1"), 2)), "resblock1")
    x = block(F.relu(F.max_pool2d(conv(x, "conv2"), 2)), "resblock2")
    return x.reshape(len(x), 375) @ w["full_c.weight"].T + w["full_c.bias"]


TUTORIAL_SHAPES = {
    "conv1": (20, 1, 5, 5),
    "conv2": (15, 20, 3, 3),
    "resblock1.conv1": (30, 20, 5, 5),
    "resblock1.conv2": (20, 30, 3, 3),
    "resblock2.conv1": (30, 15, 5, 5),
    "resblock2.conv2": (15, 30, 3, 3),
    "full_c": (10, 375),
}


def test_tutorial_weights_load_and_give_the_tutorial_logits():
    torch.manual_seed(0)
    weights = {}
    for name, shape in TUTORIAL_SHAPES.items():
        weights[f"{name}.weight"] = torch.randn(shape) * 0.1
        weights[f"{name}.bias"] = torch.randn(shape[0]) * 0.1
    model = create("tutorial")
    model.load_state_dict(weights, strict=True)
    assert sum(p.numel() for p in model.parameters()) == 42_790
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(model(images), tutorial_logits(weights, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_initial_loss_is_ln_10_and_every_parameter_receives_a_gradient(name):
    torch.manual_seed(0)
    model = create(name)
    logits = model(torch.rand(20, 1, 28, 28))
    assert logits.shape == (20, 10)
    loss = F.cross_entropy(logits, torch.arange(20) % 10)
    assert loss.item() == pytest.approx(math.log(10), abs=0.2)
    loss.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize(
    "block",
    [ResBlock(16), BasicBlock(16, 16, stride=1), Bottleneck(16, 4, stride=1)],
    ids=lambda block: type(block).__name__,
)
def test_a_block_whose_residual_branch_is_zero_is_relu(block):
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 16, 7, 7)
    assert torch.equal(block(x), F.relu(x))


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_deep_networks_have_as_many_layers_as_their_names_say_and_plain_ones_no_shortcut(depth):
    def layers(model):
        found = [m for m in model.modules() if isinstance(m, nn.Linear) or getattr(m, "kernel_size", 0) == (3, 3)]
        return [tuple(layer.weight.shape) for layer in found]

    residual, plain = create(f"resnet{depth}"), create(f"plain{depth}")
    assert len(layers(residual)) == depth and layers(plain) == layers(residual)
    assert any("downsample" in name for name, _ in residual.named_parameters())
    assert not any("downsample" in name for name, _ in plain.named_parameters())


def test_without_batchnorm_there_is_none():
    plain, bare = create("plain20"), create("plain20-nobn")
    assert {name: p.shape for name, p in plain.named_parameters() if "bn" not in name} == {
        name: p.shape for name, p in bare.named_parameters()
    }


def test_the_default_network_is_small():
    assert sum(p.numel() for p in create("small").parameters()) == 169_834 < 300_000


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"resnet1.*tutorial.*resnet152"):
        create("resnet1")
    with pytest.raises(ValueError, match="stem"):
        create("resnet18", stem="wide")
    with pytest.raises(ValueError, match="tutorial"):
        create("tutorial", stem="standard")
