"""Grammars are compiled in a helper first: chains of rules overflow llguidance's stack, others take all memory, and
either would end this process (llguidance 1.9: 1,000 JSON schemas that refer to one another)."""

from __future__ import annotations

import atexit
import functools
import json
import signal
from typing import Any, Literal

from edgellm.errors import UsageError
from edgellm_runtimes.grammar import Grammar, GrammarKind
from edgellm_runtimes.helper_process import HelperProcess
from edgellm_runtimes.structured.library import short_reason

__all__ = [
    "COMPILE_STACK_BYTES",
    "CPU_S",
    "SCREENING_STACK_BYTES",
    "Lane",
    "NeedsLongerError",
    "refusal",
    "screen",
    "shared_screener",
]

Lane = Literal["quick", "slow"]

SCREENING_STACK_BYTES = 4 * 2**20
COMPILE_STACK_BYTES = 4 * SCREENING_STACK_BYTES  # what fits the one fits the other by far
TIMEOUT_S = 5.0
CPU_S = 0.4  # schemas of applications take less than a sixth of it

_LLGUIDANCE_DOCS = "https://github.com/guidance-ai/llguidance/blob/main/docs"
_HINTS: dict[GrammarKind, str] = {
    "json_schema": f"which keywords are known: {_LLGUIDANCE_DOCS}/json_schema.md",
    "regex": "the syntax is Rust's, without look-around: https://docs.rs/regex/latest/regex/#syntax",
    "lark": f"the syntax: {_LLGUIDANCE_DOCS}/syntax.md",
    "gbnf": "the syntax: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md",
}


class NeedsLongerError(Exception):
    """A grammar did not compile in the little time that it was given."""


def screen(grammar: Grammar, cpu_s: float = CPU_S, lane: Lane = "quick") -> str:
    """``grammar`` as llguidance takes it, found to compile within limits of time, memory and depth.

    Blocks for as long as that takes, at most ``TIMEOUT_S`` (``cpu_s`` of a processor) and the start of a process; each
    ``lane`` has a helper of its own. Raises UsageError with the reason; NeedsLongerError where ``cpu_s`` is less than
    ``CPU_S`` and was too little; BackendError when no process can be started.
    """
    request = {"kind": grammar.kind, "text": grammar.text, "timeout_s": TIMEOUT_S, "cpu_s": cpu_s}
    answer = shared_screener(lane).ask(json.dumps(request).encode("ascii"), TIMEOUT_S)
    fields: dict[str, Any] = {"signal": -answer} if isinstance(answer, int) else json.loads(answer)
    if "signal" in fields:
        if fields["signal"] in (signal.SIGALRM, signal.SIGKILL):
            raise refusal(grammar, f"it did not compile within {TIMEOUT_S:g} s")
        if fields["signal"] == signal.SIGPROF:
            if cpu_s < CPU_S:
                raise NeedsLongerError
            raise refusal(grammar, f"it takes more than {CPU_S:g} s to compile: fewer optional properties may help")
        raise refusal(grammar, "it nests too deeply or takes too much memory")
    if "error" in fields:
        raise refusal(grammar, fields["error"])
    return str(fields["grammar"])


def refusal(grammar: Grammar, reason: str) -> UsageError:
    """The error for a grammar that does not compile."""
    return UsageError(f"the {grammar.kind} cannot be used: {short_reason(reason)}", hint=_HINTS[grammar.kind])


@functools.cache
def shared_screener(lane: Lane = "quick") -> HelperProcess:
    """The screening helper of this process for ``lane``."""
    process = HelperProcess("edgellm_runtimes.structured.screening_worker", "the compiler of grammars")
    atexit.register(process.close)
    return process
