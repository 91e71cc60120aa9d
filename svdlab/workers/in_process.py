"""No thread, no queue to wait at: renders what waits when it is told to, in the caller's own thread.

What tests and scripts use, and what a worker of another kind can be compared with: the desk with nothing around it.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from svdlab.history.turns import Only
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.work import Render


class InProcess:
    """Has a lab's runs rendered by any `render`, such as `Renderer("cpu").render`, whenever `drain` is called.

    with InProcess(lab, Renderer("cpu").render) as worker:
        run = lab.submit(recipe)
        worker.drain()
    """

    def __init__(self, lab: Lab, render: Render, only: Only = None) -> None:
        self.desk = Desk(lab, only)
        self._render = render

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.drain()

    def drain(self) -> None:
        """Renders until nothing waits any more and every end is written. Raises `DataFolderError`."""
        while self.desk.turn(self._render):
            pass
