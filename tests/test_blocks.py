"""The network opened: the blocks' parts add up to what the network computes, and cutting does what it says."""

import pytest
import torch
from test_networks import randomize_batchnorm

from resnet import ARCHITECTURES, create
from resnet.blocks import ablated, activations, residual_blocks


@pytest.fixture(params=[name for name in ARCHITECTURES if not name.startswith("plain")])
def model(request):
    torch.manual_seed(0)
    model = create(request.param).eval()
    randomize_batchnorm(model)
    return model


@pytest.fixture
def image():
    return torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def received(model, image):
    """What each block gives to the next, by the network's own arithmetic."""
    outputs = []
    handles = [
        block.register_forward_hook(lambda block, inputs, output: outputs.append((inputs[0][0], output[0])))
        for block in residual_blocks(model).values()
    ]
    with torch.inference_mode():
        model(image)
    for handle in handles:
        handle.remove()
    return outputs


def hooks(model):
    return [hook for module in model.modules() for hook in (*module._forward_hooks, *module._forward_pre_hooks)]


def test_F_and_x_add_up_to_what_each_block_passes_on(model, image):
    seen, passed = activations(model, image), received(model, image)
    assert len(seen) == len(passed) == len(residual_blocks(model)) > 1
    for block, (given, output) in zip(seen, passed, strict=True):
        torch.testing.assert_close(torch.relu(block.residual + block.x), output)
        if given.shape == output.shape and "resblock" not in block.name and block.name.split(".")[1] != "0":
            torch.testing.assert_close(block.x, given)
        assert block.ratio == pytest.approx(float(block.residual.norm() / block.x.norm()))


def test_looking_and_cutting_leave_no_trace(model, image):
    with torch.inference_mode():
        before = model(image)
        name = next(iter(residual_blocks(model)))
        with ablated(model, [(name, "F"), (name, "shortcut")]):
            activations(model, image)
            assert not torch.equal(model(image), before)
        assert not hooks(model) and torch.equal(model(image), before)


def test_a_block_without_F_equals_one_whose_residual_branch_is_zero(model, image):
    for name, block in list(residual_blocks(model).items())[:: max(1, len(residual_blocks(model)) // 4)]:
        with torch.inference_mode():
            with ablated(model, [(name, "F")]):
                without = model(image)
            last = getattr(block, block.residual)
            kept = {key: value.clone() for key, value in last.state_dict().items()}
            last.weight.zero_(), last.bias.zero_()
            torch.testing.assert_close(without, model(image))
            last.load_state_dict(kept)


def test_a_block_without_its_shortcut_passes_on_F_alone(model, image):
    name = list(residual_blocks(model))[-1]
    with ablated(model, [(name, "shortcut")]):
        (_, output), seen = received(model, image)[-1], activations(model, image)[-1]
    torch.testing.assert_close(output, torch.relu(seen.residual))
    assert not seen.x.any()


def test_what_is_not_there_cannot_be_cut(image):
    model = create("small")
    for cuts in ([("layer9.0", "F")], [("layer1.0", "relu")], [("layer1.0", "F"), ("", "F")]):
        with pytest.raises(ValueError, match=r"layer1\.0, layer1\.1, layer2\.0, layer2\.1"), ablated(model, cuts):
            pass
        assert not hooks(model)
