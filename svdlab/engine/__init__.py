"""The only rooms that know torch, diffusers and transformers."""

from __future__ import annotations

import os

# Read once by both libraries on import: their loading bars and advice would land in the user's terminal.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
