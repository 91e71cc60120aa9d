"""The pages. `serve` runs them over a lab of its own, `launch` over a given one, `build_app` only builds them."""

from __future__ import annotations

from svdlab.ui.site import build_app, launch, serve

__all__ = ["build_app", "launch", "serve"]
