"""The pages. `launch` serves them over a lab that whoever starts the app has opened, `build_app` only builds them."""

from __future__ import annotations

from svdlab.ui.site import build_app, launch

__all__ = ["build_app", "launch"]
