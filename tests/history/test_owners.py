"""Who claims: one life of one process. A reused process id, a zombie and a silent host are not taken for alive."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from svdlab.history.owners import is_alive, this_process


def test_this_process_is_alive_and_says_the_same_each_time() -> None:
    assert this_process() == this_process()
    assert is_alive(this_process(), None, 0.0)
    assert not is_alive(None, None, 0.0)


def test_another_process_of_the_same_id_is_another() -> None:
    host, pid, start = this_process().split("|")
    assert int(pid) == os.getpid()
    assert not is_alive(f"{host}|{pid}|{start}0", None, 0.0)


@pytest.mark.skipif(os.name == "nt", reason="has no zombies")
def test_a_process_that_ended_is_dead_even_before_it_is_waited_for() -> None:
    script = "from svdlab.history.owners import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        owner = child.stdout.readline().strip()
        assert is_alive(owner, None, 0.0)
        child.stdin.write("\n")
        child.stdin.flush()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is not reaped
        assert not is_alive(owner, None, 0.0)


def test_a_process_of_another_host_is_alive_while_its_lease_lasts() -> None:
    assert is_alive("another-host|1|0", 10.0, 9.9)
    assert not is_alive("another-host|1|0", 10.0, 10.0)
    assert not is_alive("another-host|1|0", None, 0.0)
