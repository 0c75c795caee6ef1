"""Work beside a screen or a dialog."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from textual.dom import DOMNode
from textual.worker import Worker

__all__ = ["start_work"]


def start_work(
    node: DOMNode, group: str, what: Callable[[], Coroutine[Any, Any, None]], *, exclusive: bool = False
) -> Worker[None]:
    """Run ``what`` until it or ``node`` ends. ``exclusive``: instead of what runs in the same ``group``."""
    worker: Worker[None] = node.run_worker(what, group=group, exclusive=exclusive)
    return worker
