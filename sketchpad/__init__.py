"""A sketchpad for Gradio that sends points while the pen moves, and the readout beside it."""

from sketchpad.components import PAGE_CSS, PAGE_HEAD, WORDS, Inside, Picture, Prose, Readout, Sketchpad, translations
from sketchpad.gate import Gate
from sketchpad.queue import take_turns

__all__ = [
    "PAGE_CSS",
    "PAGE_HEAD",
    "WORDS",
    "Gate",
    "Inside",
    "Picture",
    "Prose",
    "Readout",
    "Sketchpad",
    "take_turns",
    "translations",
]
