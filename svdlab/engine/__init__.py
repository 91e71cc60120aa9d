"""The only rooms that know torch, diffusers and transformers."""

from __future__ import annotations

import os

# Read once by both libraries on import: their loading bars and advice would land in the user's terminal.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# Read once by torch when it first allocates: on Linux, tensors over 2 MB ask for huge pages. Decoding on a CPU makes
# and drops hundreds of megabytes per layer, and spent more time on page faults than on arithmetic (docs/benchmarks.md).
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
