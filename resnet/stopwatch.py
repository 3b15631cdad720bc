"""How long a network takes for a drawing."""

import time
from statistics import median

from resnet import ink
from resnet.drawings import DRAWINGS
from resnet.recognizer import Recognizer

DRAWN = 50  # times, to take the median of


def seconds_a_drawing(recognizer: Recognizer) -> float:
    """Median time from an image to ten probabilities in the caller's hands, on the recognizer's device."""
    image, times = ink.from_strokes(DRAWINGS[3])[None], []
    for _ in range(DRAWN + 5):
        start = time.perf_counter()
        recognizer.probabilities(image)
        times.append(time.perf_counter() - start)
    return median(times[5:])  # the first ones find out how to compute
