"""A GPU lent as ZeroGPU lends it, without the GPU: each call is a fork, and its updates come back pickled."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Callable, Generator
from typing import Any

END = b""


class Lender:
    """Stands where `spaces.GPU` does: `asked` are the seconds each call has named, `ended` its exit codes."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.ended: list[int | None] = []

    def __call__(self, duration: Callable[..., int]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorated(task: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Generator[Any, None, None]:
                self.asked.append(duration(*arguments))
                yield from self._lent(task, pickle.dumps(arguments))

            return call

        return decorated

    def _lent(self, task: Callable[..., Any], arguments: bytes) -> Generator[Any, None, None]:
        fork = multiprocessing.get_context("fork")
        here, there = fork.Pipe(duplex=False)
        stop = fork.Event()

        def work() -> None:
            updates = task(*pickle.loads(arguments))
            for update in updates:
                if stop.is_set():
                    updates.close()
                    break
                there.send_bytes(pickle.dumps(update))
            there.send_bytes(END)

        process = fork.Process(target=work, daemon=True)
        process.start()
        there.close()
        try:
            while (sent := here.recv_bytes()) != END:
                yield pickle.loads(sent)
        except EOFError:
            raise RuntimeError("GPU task aborted") from None
        finally:
            stop.set()
            drained = threading.Thread(target=_drain, args=(here,))
            drained.start()
            process.join(60)
            self.ended.append(process.exitcode)
            drained.join(60)


def _drain(pipe: Any) -> None:
    """Reads what is still sent, so that the sender can end."""
    try:
        while pipe.recv_bytes() != END:
            pass
    except (EOFError, OSError):
        return
