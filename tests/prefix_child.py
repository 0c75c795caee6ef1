"""Processes that save prefixes, to be killed, raced or outlived by tests.

``prefix_child.py model GGUF FOLDER TEXT SETTINGS`` computes and saves the state of TEXT and prints its token ids.

``prefix_child.py fill FOLDER SEED COUNT BYTE_CAP`` saves COUNT prefixes and prints the statistics; COUNT 0 is for ever.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from pathlib import Path

import msgspec

from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.kv_store import PrefixKey, PrefixStore

FILL_KEY = PrefixKey("sha256:" + "f" * 64, {})
MODEL = "sha256:" + "a" * 64


def save_text(path: Path, folder: Path, text: str, settings: BackendSettings) -> None:
    from backends import open_backend

    backend = open_backend(path, settings)
    store = PrefixStore(folder, PrefixKey(MODEL, backend.state_traits), keep_free_bytes=0)
    tokens = backend.vocabulary.tokenize(text, add_special=True, parse_special=False)
    backend.decode([TokenSlice(0, [*tokens, 5, 6, 7])])
    saved = store.save(
        tokens,
        lambda state: backend.save_sequence(0, state, len(tokens)),
        size_bytes=backend.saved_bytes(0, len(tokens)),
        kind="system",
    )
    store.flush()
    backend.close()
    assert saved, store.statistics()
    sys.stdout.buffer.write(msgspec.json.encode(tokens))


def fill(folder: Path, seed: str, count: int, byte_cap: int) -> None:
    """Prefixes whose state says which tokens it is of."""
    chance = random.Random(seed)
    store = PrefixStore(folder, FILL_KEY, byte_cap, 2**50, keep_free_bytes=0)
    print("ready", flush=True)
    for _ in itertools.count() if count == 0 else range(count):
        tokens = [chance.randrange(1000) for _ in range(20)]
        state = repr(tokens).encode() * chance.randrange(1, 5000)
        kind = chance.choice(("system", "chat"))
        store.save(tokens, lambda path, state=state: path.write_bytes(state), size_bytes=len(state), kind=kind)
    store.flush()
    sys.stdout.buffer.write(msgspec.json.encode(store.statistics()))


def main() -> None:
    mode, *arguments = sys.argv[1:]
    if mode == "model":
        path, folder, text, settings = arguments
        save_text(Path(path), Path(folder), text, msgspec.json.decode(settings, type=BackendSettings))
    else:
        where, seed, count, byte_cap = arguments
        fill(Path(where), seed, int(count), int(byte_cap))


if __name__ == "__main__":
    os.umask(0)
    main()
