"""How long a network takes for a drawing."""

import time
from collections.abc import Callable
from statistics import median

from digits import ink
from digits.drawings import DRAWINGS
from resnet import Recognizer

WARM_UP = 5  # runs that are not counted: libraries choose their algorithms in them


def seconds_a_drawing(recognizer: Recognizer) -> float:
    """Median time from a (28, 28) image to ten probabilities in main memory, on the recognizer's device."""
    image = ink.from_strokes(DRAWINGS[3])[None]
    return median_seconds(lambda: recognizer.probabilities(image), 50)


def median_seconds(work: Callable[[], object], times: int) -> float:
    seconds = []
    for _ in range(WARM_UP + times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return median(seconds[WARM_UP:])
