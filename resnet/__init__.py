"""Residual networks that read handwritten digits: create one, train it, load it, and ask it."""

from resnet.checkpoint import CheckpointError
from resnet.networks import ARCHITECTURES, create
from resnet.recognizer import Recognizer

__all__ = ["ARCHITECTURES", "CheckpointError", "Recognizer", "create"]
