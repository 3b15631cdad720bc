"""How long a network takes for a drawing."""

import time
from collections.abc import Callable
from statistics import median

from digits import ink
from digits.drawings import DRAWINGS
from resnet.recognizer import Recognizer


def seconds_a_drawing(recognizer: Recognizer) -> float:
    """Median time from an image to ten probabilities in the caller's hands, on the recognizer's device."""
    image = ink.from_strokes(DRAWINGS[3])[None]
    return median_seconds(lambda: recognizer.probabilities(image), 50)


def median_seconds(work: Callable[[], object], times: int) -> float:
    """Without the first five, which find out how to compute."""
    took = []
    for _ in range(times + 5):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return median(took[5:])
