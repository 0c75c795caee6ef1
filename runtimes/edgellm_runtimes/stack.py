"""Runs native code that recurses deeply on a stack of known size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["call_on_stack"]

_PAGE_BYTES = 65536  # the largest page size of our processors: a stack must be whole pages

T = TypeVar("T")

_stack_size_lock = threading.Lock()  # the size for new threads is a setting of the whole process


def call_on_stack(size_bytes: int, function: Callable[[], T], *, name: str) -> T:
    """``function()`` in a thread ``name`` of its own, whose stack has ``size_bytes`` or a little more. What it raises
    is raised here."""
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001  raised again by the caller
            failures.append(error)

    with _stack_size_lock:
        before = threading.stack_size(-(-size_bytes // _PAGE_BYTES) * _PAGE_BYTES)
        try:
            thread = threading.Thread(target=work, name=name)
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
