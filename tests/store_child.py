"""Processes that pack into a store, to be killed or raced by tests.

``store_child.py names ROOT PREFIX COUNT`` writes COUNT bundles with names of their own and ends.

``store_child.py nursery ROOT`` starts, for each line it reads, a process that packs until it is killed; it prints that
process's id, and ``dead`` when it has ended. One parent that has everything imported makes fifty of them cheap.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

from bundle_parts import gguf_bytes, write_bundle
from edgellm.store.store import Store


def start_child(*arguments: str) -> subprocess.Popen[str]:
    """Start this file as a process of its own and wait until it is ready."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    command = [sys.executable, __file__, *arguments]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def pack_forever(store: Store, seed: str, weights: bytes) -> None:
    """Write bundles of several blobs under three names that move."""
    chance = random.Random(seed)
    print(os.getpid(), flush=True)
    for number in itertools.count():
        unique = f"{seed}-{number}".encode()
        with store.writer() as writer:
            write_bundle(writer, f"tiny:v{chance.randrange(3)}", weights=unique + weights, license_text=unique * 1000)


def main() -> None:
    mode, root = sys.argv[1], Path(sys.argv[2])
    store = Store(root / "store", root / "state")
    print("ready", flush=True)
    if mode == "names":
        prefix, count = sys.argv[3], int(sys.argv[4])
        for number in range(count):
            with store.writer() as writer:
                write_bundle(writer, f"{prefix}:v{number}", license_text=f"{prefix}-{number}".encode() * 1000)
        return
    weights = gguf_bytes(weights_bytes=3 << 20)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            pack_forever(store, line.strip(), weights)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main()
