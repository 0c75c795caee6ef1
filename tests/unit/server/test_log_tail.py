"""The last lines of a server's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from edgellm.server.watching.log_tail import LogTail


@pytest.fixture
def tail() -> Iterator[LogTail]:
    found = LogTail()
    found.open()
    yield found
    found.close()


def test_a_fault_is_kept_with_its_traceback(tail: LogTail) -> None:
    log = logging.getLogger("edgellm.server")
    try:
        raise KeyError("nothing")
    except KeyError as error:
        log.error("internal error", exc_info=error)
    log.info("goes on")
    fault, line = tail.last(2)
    assert fault.traceback is not None
    assert fault.traceback.startswith("Traceback")
    assert fault.traceback.rstrip().endswith("KeyError: 'nothing'")
    assert line.traceback is None


def test_a_long_traceback_keeps_its_end(tail: LogTail) -> None:
    try:
        raise ValueError("x" * 100_000 + " the end")
    except ValueError as error:
        logging.getLogger("edgellm.server").error("internal error", exc_info=error)
    (fault,) = tail.last(1)
    assert fault.traceback is not None
    assert len(fault.traceback) == 8000
    assert fault.traceback.rstrip().endswith("the end")
