"""When the terminal program looks for objects that hold each other."""

from __future__ import annotations

import subprocess
import sys


def test_none_are_looked_for_until_the_first_frame_then_new_ones_and_all_at_rest() -> None:
    code = (
        "import gc\n"
        "from edgellm.tui.garbage import hold_back, look_at_new_ones\n"
        "look_at_new_ones()\n"
        "assert gc.isenabled() and not gc.get_freeze_count()\n"
        "hold_back()\n"
        "assert not gc.isenabled()\n"
        "look_at_new_ones()\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 1000\n"
        "class Ring: pass\n"
        "import weakref\n"
        "ring = Ring(); ring.self = ring; seen = weakref.ref(ring); del ring\n"
        "kept = []\n"
        "while seen() is not None and len(kept) < 100_000:\n"
        "    kept.append([])\n"
        "assert seen() is None\n"
        "old = Ring(); old.self = old; seen = weakref.ref(old)\n"
        "kept = [[] for _ in range(200_000)]\n"
        "del old\n"
        "kept += [[] for _ in range(200_000)]\n"
        "assert seen() is not None  # it has outlived the new ones\n"
        "from edgellm.tui.garbage import look_at_all\n"
        "look_at_all()\n"
        "assert seen() is None\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
