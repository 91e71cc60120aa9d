"""Settings out of a ComfyUI workflow, and a recipe as one. Nothing of ComfyUI is needed or run.

Knows recipes, the catalogue and ComfyUI's JSON; nothing of models, files or screens.
"""

from svdlab.exchange.comfyui.graph import is_workflow
from svdlab.exchange.comfyui.reading import Reading, read_workflow
from svdlab.exchange.comfyui.writing import Workflow, write_workflow

__all__ = ["Reading", "Workflow", "is_workflow", "read_workflow", "write_workflow"]
