"""The loop is the standard one, and learns."""

import pytest
import torch
import torch.nn.functional as F

from digits import dataset, drawings
from digits.mnist import load as mnist_splits
from resnet import create
from resnet.training import calibrate, evaluate, examine, train_one_epoch


def constant(optimizer):
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)


@pytest.fixture
def batch():
    digits = drawings.splits(copies=2).train
    return digits.images.float() / 255, digits.labels


def test_one_step_equals_hand_written_sgd(batch):
    torch.manual_seed(0)
    model = create("tutorial")
    images, labels = batch
    loss = F.cross_entropy(model(images), labels)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    expected = [p.detach() - 0.1 * g for p, g in zip(model.parameters(), gradients, strict=True)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert train_one_epoch(model, [batch], optimizer, constant(optimizer)) == pytest.approx(loss.item())
    for parameter, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


@pytest.mark.parametrize("name", ["small", "tutorial"])
def test_overfits_one_batch(batch, name):
    torch.manual_seed(0)
    model = create(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    train_one_epoch(model, [batch] * 60, optimizer, constant(optimizer))
    assert train_one_epoch(model, [batch], optimizer, constant(optimizer)) < 0.01


def test_the_scheduler_steps_with_every_batch(batch):
    model = create("tutorial")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train_one_epoch(model, [batch] * 3, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_that_names_its_step_and_rate(batch, bad):
    model = create("tutorial")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    spoilt = torch.full_like(batch[0], bad), batch[1]
    with pytest.raises(FloatingPointError, match=r"step 3: the loss is nan, at the learning rate 0\.25"):
        train_one_epoch(model, [batch, batch, spoilt, batch], optimizer, constant(optimizer))


def test_evaluation_counts_every_image_once_and_changes_nothing():
    torch.manual_seed(0)
    model = create("small")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    digits = drawings.splits(copies=3).train
    whole, in_parts = (evaluate(model, dataset.Batches(digits, size)) for size in (30, 7))
    assert whole.loss == pytest.approx(in_parts.loss, rel=1e-5) and whole.accuracy == in_parts.accuracy
    logits = model.eval()(digits.images / 255)
    assert whole.accuracy == pytest.approx((logits.argmax(1) == digits.labels).float().mean().item())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_examination_counts_each_confusion_and_keeps_the_surest_mistakes():
    torch.manual_seed(0)
    model, digits = create("tutorial"), drawings.splits(copies=20).train
    batches = dataset.Batches(digits, 64)
    found = examine(model, batches)
    assert (found.loss, found.accuracy) == evaluate(model, batches)
    confusion = torch.tensor(found.confusion)
    assert confusion.shape == (10, 10) and confusion.sum(dim=1).tolist() == [20] * 10
    assert confusion.trace() / 200 == pytest.approx(found.accuracy)
    with torch.inference_mode():
        probabilities, read = model.eval()(digits.images / 255).softmax(dim=1).max(dim=1)
    wrong = read != digits.labels
    surest = probabilities[wrong].sort(descending=True).values[:24]
    torch.testing.assert_close(torch.tensor([m.probability for m in found.mistakes]), surest)
    for mistake in found.mistakes:
        same = (digits.images.flatten(1) == torch.tensor(mistake.image)).all(dim=1).nonzero()[0, 0]
        assert (digits.labels[same], read[same]) == (mistake.label, mistake.read)


def test_training_batches_hold_every_digit_once_in_an_order_that_the_seed_decides():
    digits = dataset.Digits(torch.zeros(50, 1, 28, 28, dtype=torch.uint8), torch.arange(50))

    def labels(seed):
        return torch.cat([y for _, y in dataset.Batches(digits, 8, torch.Generator().manual_seed(seed))]).tolist()

    assert sorted(labels(0)) == list(range(50))
    assert labels(0) == labels(0) != labels(1)
    assert [len(y) for _, y in dataset.Batches(digits, 8)] == [8] * 6 + [2]
    assert len(dataset.Batches(digits, 8)) == 7


def test_calibration_finds_the_temperature_and_changes_no_answer(batch):
    torch.manual_seed(0)
    images, labels = torch.randn(2000, 5), torch.randint(5, (2000,))
    images[torch.arange(2000), labels] += 1.5  # for these, x itself is the log-odds, but for the factor 1.5
    model = torch.nn.Linear(5, 5)
    torch.nn.init.eye_(model.weight)
    torch.nn.init.zeros_(model.bias)
    before = model(images).argmax(dim=1)
    assert calibrate(model, [(images[:700], labels[:700]), (images[700:], labels[700:])]) == pytest.approx(1 / 1.5, 0.1)
    assert torch.equal(model(images).argmax(dim=1), before)
    assert calibrate(model, [(images, labels)]) == pytest.approx(1, abs=1e-3)
    with torch.no_grad():
        model.weight *= 3  # overconfident
    assert calibrate(model, [(images, labels)]) == pytest.approx(3, rel=1e-3)


def test_mnist_is_split_into_55000_5000_and_10000(mnist):
    assert [len(digits.labels) for digits in mnist] == [55_000, 5_000, 10_000]
    assert mnist.train.images.shape == (55_000, 1, 28, 28) and mnist.train.images.dtype == torch.uint8


def test_the_held_out_images_are_neither_trained_on_nor_tested_on(monkeypatch, tmp_path):
    """By MNIST of 60,000 images that differ, and 10,000 of other labels."""

    class Numbered:
        def __init__(self, root, train, download):
            self.targets = torch.arange(60_000) if train else -1 - torch.arange(10_000)
            self.data = torch.zeros(len(self.targets), 1, 1, dtype=torch.uint8)

    monkeypatch.setattr("torchvision.datasets.MNIST", Numbered)
    train, held_out, test = (set(split.labels.tolist()) for split in mnist_splits(str(tmp_path)))
    assert (len(train), len(held_out), len(test)) == (55_000, 5_000, 10_000)
    assert train | held_out == set(range(60_000)) and min(test) == -10_000 and max(test) == -1
