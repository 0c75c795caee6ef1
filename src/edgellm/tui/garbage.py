"""When Python looks for objects that hold each other: never while the program starts, later among new ones, and among
all while nobody types.

What the imported modules consist of, and what a long table does, would be looked through again and again otherwise: a
tenth of a second each time, in which nothing moves on the screen.
"""

from __future__ import annotations

import gc

__all__ = ["hold_back", "look_at_all", "look_at_new_ones"]

# Objects more than before, rounds among the newest, and rounds among those that outlived one: then all are looked at,
# whoever waits. By default every 70,000 objects, which a long table has.
_THRESHOLDS = (1000, 20, 500)
_ROUNDS = 5  # of the last kind: sooner it is not worth it

_is_held_back = False
_is_ours = False


def hold_back() -> None:
    """Look for none until ``look_at_new_ones``. Call it before the modules of the program are imported."""
    global _is_held_back
    _is_held_back = True
    gc.disable()


def look_at_new_ones() -> None:
    """From now on look among what comes. Without ``hold_back`` before nothing changes: tests run many programs."""
    global _is_held_back, _is_ours
    if _is_held_back:
        _is_held_back, _is_ours = False, True
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()


def look_at_all() -> None:
    """Nobody waits for a frame: look among all objects that came since the start, if there are many new ones."""
    if _is_ours and gc.get_count()[2] >= _ROUNDS:
        gc.collect()
