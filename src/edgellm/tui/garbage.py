"""When Python looks for objects that hold each other: never while the program starts, later mostly among new ones.

What the imported modules consist of, and what a long table does, would be looked through again and again otherwise: a
tenth of a second each time, in which nothing moves on the screen.
"""

from __future__ import annotations

import gc

__all__ = ["hold_back", "look_at_new_ones"]

# Objects more than before, rounds among the newest, and rounds among those that outlived one: then all are looked at.
# By default every 70,000 objects, which a long table has.
_THRESHOLDS = (1000, 20, 100)

_is_held_back = False


def hold_back() -> None:
    """Look for none until ``look_at_new_ones``. Call it before the modules of the program are imported."""
    global _is_held_back
    _is_held_back = True
    gc.disable()


def look_at_new_ones() -> None:
    """From now on look among what comes. Without ``hold_back`` before nothing changes: tests run many programs."""
    global _is_held_back
    if _is_held_back:
        _is_held_back = False
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()
