"""The Hugging Face hub: what is needed of a repository, how much is missing, and a download one can watch and stop."""

from svdlab.weights.hub.cache import PlannedFile, snapshot
from svdlab.weights.hub.fetching import download
from svdlab.weights.hub.planning import Plan, machine_token, needed_files, plan
from svdlab.weights.progress import Progress

__all__ = ["Plan", "PlannedFile", "Progress", "download", "machine_token", "needed_files", "plan", "snapshot"]
