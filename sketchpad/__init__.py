"""A sketchpad for Gradio that sends points while the pen moves, and the readout beside it."""

from sketchpad.components import PAGE_CSS, PAGE_HEAD, WORDS, Inside, Picture, Prose, Readout, Sketchpad, translations

__all__ = ["PAGE_CSS", "PAGE_HEAD", "WORDS", "Inside", "Picture", "Prose", "Readout", "Sketchpad", "translations"]
