"""Settings out of a ComfyUI workflow, and a recipe as one. Nothing of ComfyUI is needed or run.

Knows recipes, the catalogue and ComfyUI's JSON; nothing of models, files or screens.
"""

from svdlab.exchange.comfyui.formats import is_workflow
from svdlab.exchange.comfyui.places import parsed, workflows_in
from svdlab.exchange.comfyui.reading import Reading, read_workflow
from svdlab.exchange.comfyui.writing import Workflow, write_workflow

__all__ = [
    "Reading",
    "Workflow",
    "is_workflow",
    "parsed",
    "read_workflow",
    "workflows_in",
    "write_workflow",
]
