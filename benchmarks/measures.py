"""What is measured of a classifier on a collection: accuracy by writer, calibration, and outliers told from digits."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from benchmarks.collection import Collection
from resnet.recognizer import CONFIDENT

FEWEST = 10  # digits of a writer whose accuracy is counted
GOOD = 0.95  # accuracy below which a writer is badly served
BINS = 15  # of the expected calibration error (Guo et al. 2017, arXiv:1706.04599)
RESAMPLES = 10_000  # of the bootstrap


@dataclass(frozen=True)
class Accuracy:
    """Of a group of digits. `by_writer` is the mean over the writers of at least `FEWEST` digits, if there are any."""

    digits: int
    writers: int
    overall: float
    by_writer: float | None
    writers_counted: int  # those of at least FEWEST digits
    writers_below_95: int  # of those counted


@dataclass(frozen=True)
class Writer:
    name: str
    digits: int
    accuracy: float


@dataclass(frozen=True)
class Confusion:
    digit: int
    read_as: int
    times: int


@dataclass(frozen=True)
class Measures:
    """All accuracies and errors are fractions of 1."""

    accuracy: Accuracy
    interval: tuple[float, float] | None  # 95 %, of accuracy.by_writer; None for fewer than two writers
    worst_writers: list[Writer]  # of those counted, the five worst
    sources: dict[str, Accuracy]
    digits: dict[int, float]
    confusions: list[Confusion]  # the ten most frequent
    calibration_error: float
    faulty: int  # digits marked as faulty data, measured like all others
    skipped: int


@dataclass(frozen=True)
class Outliers:
    """`auroc` is the chance that a digit's confidence is above an outlier's, half of it where they are equal."""

    outliers: int
    auroc: float
    digits_not_sure: float
    outliers_not_sure: float
    most_claimed: list[tuple[str, int, int]]  # label, times read confidently as a digit, of how many


def measure(probabilities: np.ndarray, collection: Collection) -> Measures:
    """(N, 10) rows that sum to 1, for the N images of the collection."""
    read, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    labels, right = collection.labels, read == collection.labels
    confusions = Counter(zip(labels[~right].tolist(), read[~right].tolist(), strict=True)).most_common(10)
    counted = [writer for writer in _writers(right, collection.writers) if writer.digits >= FEWEST]
    sources = {str(name): collection.sources == name for name in np.unique(collection.sources)}
    return Measures(
        accuracy=_accuracy(right, collection.writers),
        interval=bootstrap_interval(np.array([writer.accuracy for writer in counted])),
        worst_writers=sorted(counted, key=lambda writer: writer.accuracy)[:5],
        sources={name: _accuracy(right[own], collection.writers[own]) for name, own in sources.items()},
        digits={int(digit): float(right[labels == digit].mean()) for digit in np.unique(labels)},
        confusions=[Confusion(digit, other, times) for (digit, other), times in confusions],
        calibration_error=calibration_error(confidence, right),
        faulty=int(collection.faulty.sum()),
        skipped=len(collection.skipped),
    )


def bootstrap_interval(accuracies: np.ndarray) -> tuple[float, float] | None:
    """95 % percentile bootstrap of the mean (Efron 1979), resampling writers with a fixed seed."""
    if len(accuracies) < 2:
        return None
    means = np.random.default_rng(0).choice(accuracies, (RESAMPLES, len(accuracies))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: |accuracy - mean confidence| in `BINS` equal bins, weighted by their share."""
    bins = np.ceil(confidence * BINS).clip(1, BINS)
    errors = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(errors))


def measure_outliers(digits: np.ndarray, outliers: np.ndarray, labels: np.ndarray) -> Outliers:
    """Confidences of digits and of outliers, and the outliers' labels."""
    claimed = Counter(labels[outliers >= CONFIDENT].tolist())
    return Outliers(
        outliers=len(outliers),
        auroc=float(mannwhitneyu(digits, outliers).statistic) / (len(digits) * len(outliers)),
        digits_not_sure=float((digits < CONFIDENT).mean()),
        outliers_not_sure=float((outliers < CONFIDENT).mean()),
        most_claimed=[(label, times, int((labels == label).sum())) for label, times in claimed.most_common(10)],
    )


def _accuracy(right: np.ndarray, writers: np.ndarray) -> Accuracy:
    everyone = _writers(right, writers)
    counted = [writer.accuracy for writer in everyone if writer.digits >= FEWEST]
    return Accuracy(
        digits=len(right),
        writers=len(everyone),
        overall=float(right.mean()),
        by_writer=float(np.mean(counted)) if counted else None,
        writers_counted=len(counted),
        writers_below_95=sum(accuracy < GOOD for accuracy in counted),
    )


def _writers(right: np.ndarray, writers: np.ndarray) -> list[Writer]:
    names, index, digits = np.unique(writers, return_inverse=True, return_counts=True)
    correct = np.bincount(index, right)
    return [Writer(str(name), int(n), float(k / n)) for name, n, k in zip(names, digits, correct, strict=True)]
