from __future__ import annotations

import os

import pytest

from predgen.errors import ProcessLost
from predgen.processes import ALONE, Peer, Processes, _alive, join_processes


def test_one_process_asks_nobody() -> None:
    assert join_processes() is ALONE and ALONE.main
    assert ALONE.mine([3, 1, 2]) == [3, 1, 2]
    assert ALONE.gathered("x") == ["x"] and ALONE.largest(2.5) == 2.5
    assert ALONE.any(True) and not ALONE.any(False)
    ALONE.wait()
    with pytest.raises(RuntimeError, match="Connection closed"), ALONE.watching(lambda: "", ""):
        raise RuntimeError("Connection closed by peer")


def test_work_is_shared_evenly_and_nothing_is_left_out() -> None:
    items = list(range(7))
    parts = [Processes(rank, 3).mine(items) for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4], [2, 5]]


def test_faults_of_ones_own_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    two = Processes(0, 2, (Peer("here", os.getpid()), Peer("elsewhere", 1)))
    with pytest.raises(ZeroDivisionError), two.watching(lambda: "", ""):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="shapes"), two.watching(lambda: "", ""):
        raise RuntimeError("shapes cannot be multiplied")
    with pytest.raises(ProcessLost, match="further in"), two.watching(lambda: "", ""):
        raise ProcessLost("seen further in")


def test_a_process_is_alive_until_it_is_not() -> None:
    assert _alive(os.getpid()) and not _alive(2**22 + 1)
