"""Inside the blocks: F(x) and x add up to what the network computes, and ablation does what it says."""

import threading

import numpy as np
import pytest
import torch
from test_networks import randomize_batchnorm

from resnet import ARCHITECTURES, Recognizer, create
from resnet.blocks import Activation, ablated, activations, copy_sharing_weights, residual_blocks


@pytest.fixture(params=[name for name in ARCHITECTURES if not name.startswith("plain")])
def model(request):
    torch.manual_seed(0)
    model = create(request.param).eval()
    randomize_batchnorm(model)
    return model


@pytest.fixture
def image():
    return torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def inputs_and_outputs(model, image):
    """Of each block, by the network's own arithmetic."""
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


def test_F_and_x_add_up_to_the_output_of_each_block(model, image):
    seen, passed = activations(model, image), inputs_and_outputs(model, image)
    assert len(seen) == len(passed) == len(residual_blocks(model)) > 1
    for block, (given, output) in zip(seen, passed, strict=True):
        torch.testing.assert_close(torch.relu(block.residual + block.x), output)
        if given.shape == output.shape and "resblock" not in block.name and block.name.split(".")[1] != "0":
            torch.testing.assert_close(block.x, given)
        assert block.ratio == pytest.approx(float(block.residual.norm() / block.x.norm()))


def test_looking_and_ablating_leave_no_trace(model, image):
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


def test_a_block_without_its_shortcut_outputs_F_alone(model, image):
    name = list(residual_blocks(model))[-1]
    with ablated(model, [(name, "shortcut")]):
        (_, output), seen = inputs_and_outputs(model, image)[-1], activations(model, image)[-1]
    torch.testing.assert_close(output, torch.relu(seen.residual))
    assert not seen.x.any()


def test_unknown_blocks_and_parts_cannot_be_ablated(image):
    model = create("small")
    for ablations in ([("layer9.0", "F")], [("layer1.0", "relu")], [("layer1.0", "F"), ("", "F")]):
        with pytest.raises(ValueError, match=r"layer1\.0, layer1\.1, layer2\.0, layer2\.1"), ablated(model, ablations):
            pass
        assert not hooks(model)


def test_a_copy_that_shares_weights_shares_no_hooks():
    model = create("small").eval()
    copied = copy_sharing_weights(model)
    for name, value in model.state_dict().items():
        assert copied.state_dict()[name].data_ptr() == value.data_ptr()
    with ablated(copied, [("layer1.0", "F")]):
        assert hooks(copied) and not hooks(model)


def test_maps_are_those_of_the_strongest_channels_on_one_scale_per_row():
    x, residual = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
    x[1], residual[1], residual[2] = 4, -1, 2
    maps = Activation("layer1.0", x, residual).maps(2)
    assert {part: row[:, 0, 0].tolist() for part, row in maps.items()} == {
        "x": [127, 0],
        "F": [-64, 127],
        "sum": [127, 85],
    }
    assert {row.shape for row in maps.values()} == {(2, 2, 2)} and maps["F"].dtype == np.int8


def test_threads_that_ablate_disturb_neither_each_other_nor_those_that_do_not():
    """A second caller comes while the first one's hooks are in place; it must wait, or not see them."""
    recognizer = Recognizer.load(device="cpu")
    images = np.random.default_rng(0).random((1, 28, 28), np.float32)
    first, second = [("layer1.0", "F")], [("layer2.0", "shortcut")]
    expected = [recognizer.probabilities(images, ablations) for ablations in (first, second, ())]
    looked = [float(block.residual.norm()) for block in recognizer.look(images[0])]
    assert not np.allclose(expected[0], expected[2]) and not np.allclose(expected[1], expected[2])
    entered, others_done, results = threading.Event(), threading.Event(), {}

    class Paused(list):
        """Ablations after which the model pauses, with the hooks in place."""

        def __iter__(self):
            yield from super().__iter__()
            entered.set()
            others_done.wait(0.5)  # where the others wait for us, as they should, this passes

    def call(name, function, *arguments):
        results[name] = function(*arguments)

    def others():
        entered.wait()
        threads = [
            threading.Thread(target=call, args=("second", recognizer.probabilities, images, second)),
            threading.Thread(target=call, args=("look", recognizer.look, images[0])),
        ]
        call("intact", recognizer.probabilities, images)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        others_done.set()

    thread = threading.Thread(target=others)
    thread.start()
    call("first", recognizer.probabilities, images, Paused(first))
    thread.join()
    for name, wanted in zip(("first", "second", "intact"), expected, strict=True):
        np.testing.assert_array_equal(results[name], wanted, err_msg=name)
    assert [float(block.residual.norm()) for block in results["look"]] == looked
