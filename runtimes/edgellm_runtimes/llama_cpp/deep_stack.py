"""Calls llama.cpp's tokenizer with a stack that is deep enough.

For most pre-tokenizers llama.cpp uses std::wregex, whose matcher recurses once per character of a match: 343 bytes of
stack each (measured, libstdc++ 12; 24,431 characters end a process with the usual 8 MiB). A run of letters, of digits,
of spaces or of other characters is one match.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TypeVar

from edgellm.errors import UsageError

__all__ = ["LONGEST_RUN", "call_deep"]

LONGEST_RUN = 200_000  # characters; its stack is 100 MiB, of which the run touches two thirds
_SHALLOW_RUN = 4_000  # fits any thread's stack
_BYTES_PER_CHARACTER = 512
_RUNS = re.compile(r"\s+|\d+|[^\W\d]+|[^\w\s]+")

T = TypeVar("T")

_stack_size_lock = threading.Lock()  # the size for new threads is a setting of the whole process


def call_deep(text: str, function: Callable[[], T]) -> T:
    """``function()``, which tokenizes ``text``, on a stack that fits it. Raises UsageError for an endless run."""
    if len(text) <= _SHALLOW_RUN:
        return function()
    longest = max((match.end() - match.start() for match in _RUNS.finditer(text)), default=0)
    if longest <= _SHALLOW_RUN:
        return function()
    if longest > LONGEST_RUN:
        raise UsageError(
            f"the text has a run of {longest} characters of one kind; at most {LONGEST_RUN} can be tokenized",
            hint="break it up with spaces or punctuation",
        )
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001  raised again by the caller
            failures.append(error)

    with _stack_size_lock:
        before = threading.stack_size((longest * _BYTES_PER_CHARACTER // 65536 + 16) * 65536)
        try:
            thread = threading.Thread(target=work, name="edgellm-tokenize")
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
