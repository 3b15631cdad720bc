"""A sketchpad for Gradio that sends points while the pen moves, and the readout beside it."""

from sketchpad.components import Readout, Sketchpad

__all__ = ["Readout", "Sketchpad"]
