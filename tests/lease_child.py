"""A process that takes turns on command, one word a line: take, end, again (end and take at once). Answers what it did.

usage: lease_child.py LOCK_FILE PATIENCE_S
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgellm_runtimes.compute_lease import ComputeLease


def main() -> None:
    turn = ComputeLease(Path(sys.argv[1]), patience_s=float(sys.argv[2])).turn()
    print("ready", flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word in ("end", "again"):
            turn.__exit__(None, None, None)
            print("ended", flush=True)
        if word in ("take", "again"):
            turn.__enter__()
            print("took" if turn.is_held else "lost patience", flush=True)


if __name__ == "__main__":
    main()
