"""Calls llama.cpp's tokenizer with a stack that is deep enough.

For most pre-tokenizers llama.cpp uses std::wregex, whose matcher recurses once per character of a match: 343 bytes of
stack each (measured, libstdc++ 12; 24,431 characters end a process with the usual 8 MiB). A run of letters, of digits,
of spaces or of other characters is one match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from edgellm.errors import UsageError
from edgellm_runtimes.stack import call_on_stack

__all__ = ["LONGEST_RUN", "call_deep"]

LONGEST_RUN = 200_000  # characters; its stack is 100 MiB, of which the run touches two thirds
_SHALLOW_RUN = 4_000  # fits any thread's stack
_BYTES_PER_CHARACTER = 512
_ROOM_BYTES = 2**20  # for everything else
_RUNS = re.compile(r"\s+|\d+|[^\W\d]+|[^\w\s]+")

T = TypeVar("T")


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
    size_bytes = longest * _BYTES_PER_CHARACTER + _ROOM_BYTES
    return call_on_stack(size_bytes, function, name="edgellm-tokenize")
