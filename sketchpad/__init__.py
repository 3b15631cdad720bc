"""A sketchpad for Gradio that sends points while the pen moves, and the readout beside it."""

from sketchpad.components import PAGE_CSS, Inside, Picture, Readout, Sketchpad
from sketchpad.gate import Gate

__all__ = ["PAGE_CSS", "Gate", "Inside", "Picture", "Readout", "Sketchpad"]
