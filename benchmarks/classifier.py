"""Any digit classifier as one function: our checkpoints, and ONNX files of other people's MNIST networks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import softmax

from digits.ink import SIZE
from resnet import Recognizer

Classifier = Callable[[np.ndarray], np.ndarray]  # (N, 28, 28) float32 in [0, 1] -> (N, 10) probabilities
BATCH = 250  # images at a time, where the network does not prescribe a number


def load(path: Path | None = None, mean: float = 0, std: float = 1) -> Classifier:
    """A checkpoint (`None` is the shipped one), or an ONNX file by its suffix; only that gets (image - mean) / std.

    Raises `OSError`, `ValueError`, or `ImportError` where onnxruntime is missing.
    """
    if path is not None and path.suffix == ".onnx":
        return _from_onnx(path, mean, std)
    recognizer = Recognizer.load(path, "cpu")
    return lambda images: np.concatenate([recognizer.probabilities(part) for part in _batches(images, BATCH)])


def _from_onnx(path: Path, mean: float, std: float) -> Classifier:
    """(N, 1, 28, 28) float32 -> (N, 10) logits, log-probabilities or probabilities, for any N or for a fixed one."""
    import onnxruntime

    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen kinds with no common base
        raise ValueError(f"onnxruntime cannot read {path}: {next(iter(str(error).splitlines()), '')}") from None
    first, *others = session.get_inputs()
    sizes = zip(first.shape[1:], (1, SIZE, SIZE), strict=False)  # a name or None stands for any size
    fits = len(first.shape) == 4 and all(size == wanted or not isinstance(size, int) for size, wanted in sizes)
    if others or first.type != "tensor(float)" or not fits:
        inputs = ", ".join(f"{each.type} {each.shape}" for each in (first, *others))
        raise ValueError(f"{path} takes {inputs}; it must take one float tensor of shape (N, 1, {SIZE}, {SIZE}).")
    batch = first.shape[0] if isinstance(first.shape[0], int) else BATCH

    def classify(images: np.ndarray) -> np.ndarray:
        scores = []
        for part in _batches(images, batch):
            padded = np.zeros((batch, 1, SIZE, SIZE), np.float32)
            padded[: len(part), 0] = (part - mean) / std
            answer = session.run(None, {first.name: padded})[0]
            if answer.shape != (batch, 10):
                raise ValueError(f"{path} maps {padded.shape} to {answer.shape}; it must give (N, 10).")
            scores.append(answer[: len(part)])
        return _as_probabilities(np.concatenate(scores))

    return classify


def _batches(images: np.ndarray, size: int) -> list[np.ndarray]:
    return [images[start : start + size] for start in range(0, len(images), size)]


def _as_probabilities(scores: np.ndarray) -> np.ndarray:
    """(N, 10): rows that are not distributions are logits or log-probabilities, which softmax turns into them."""
    if not np.isfinite(scores).all():
        raise ValueError("The network gives values that are not finite.")
    if scores.min() >= 0 and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        return scores
    return softmax(scores, axis=1)
