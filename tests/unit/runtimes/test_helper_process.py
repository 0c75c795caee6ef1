"""Children that work on what others wrote."""

from __future__ import annotations

import pytest

from edgellm.errors import BackendError
from edgellm_runtimes.helper_process import HelperProcess

SCREENER = "edgellm_runtimes.structured.screening_worker"


def test_a_child_that_cannot_start_is_not_the_fault_of_the_request() -> None:
    helper = HelperProcess("edgellm_runtimes.no_such_module", "the compiler of grammars")
    with pytest.raises(BackendError, match="the compiler of grammars does not start"):
        helper.ask(b"{}", 1.0)


def test_a_child_that_dies_of_a_request_tells_how_and_the_next_one_is_answered() -> None:
    pytest.importorskip("llguidance")
    helper = HelperProcess(SCREENER, "the compiler of grammars")
    try:
        assert helper.ask(b"no JSON", 5.0) == 1
        answer = helper.ask(b'{"kind": "regex", "text": "a+", "timeout_s": 5, "cpu_s": 1}', 5.0)
        assert isinstance(answer, bytes)
        assert b"grammar" in answer
    finally:
        helper.close()
