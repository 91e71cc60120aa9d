"""One session for all visitors, since nothing of a visitor is kept on the server's side of a page.

Gradio copies the whole app for each session it hears of (150 kB, and some 30 ms of the event loop; up to 10,000 times)
so that components may look different to each. Ours never do. Knows Gradio's holder of sessions; nothing of pages.
"""

from __future__ import annotations

import gradio as gr
from gradio.state_holder import SessionState, StateHolder


class OneSession(StateHolder):
    """Takes the place of Gradio's, whatever a session is called."""

    def __init__(self, app: gr.Blocks) -> None:
        super().__init__()
        self.set_blocks(app)
        self._only = SessionState(app)

    def __getitem__(self, session_id: str) -> SessionState:
        return self._only

    def __contains__(self, session_id: str) -> bool:
        return False  # nothing of it can be asked for by a session's name
