"""The process that tests/benchmarks/serve.py measures from outside: an engine, its requests, and nothing else.

usage: python tests/benchmarks/serve_child.py ORDER.json

Prints one JSON line: the memory of this process and its children as the kernel counts it, and what each answer took.
It knows neither tokenizers nor HTTP, so that the memory is the engine's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from serve_cpu import descendants
from serve_load import Ask, drive
from serve_ours import EngineContender, open_engine, store_fields


def memory_bytes(pid: int) -> dict[str, int]:
    """Memory of a process and all below it: now, and each one's own peak."""
    found = {"now": 0, "peak": 0}
    for process in [pid, *descendants(pid)]:
        try:
            status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue  # it has just ended
        sizes = dict(line.partition(":")[::2] for line in status.splitlines())
        for name, key in (("now", "VmRSS"), ("peak", "VmHWM")):
            found[name] += int(sizes.get(key, "0 kB").split()[0]) * 1024
    return found


async def main() -> None:
    order: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    path = Path(order["model"])
    store = store_fields(path, Path(order["store"])) if order.get("store") else None
    forbidden = dict.fromkeys(order["forbidden"], float("-inf"))
    settings = {name: order[name] for name in ("form", "context", "sequences", "threads")}
    async with open_engine(path, **settings, **(store or {})) as engine:
        contender = EngineContender(engine, order["form"], forbidden=forbidden)
        loads = [await drive(contender, [Ask(**{**ask, "prompt": tuple(ask["prompt"])}) for ask in asks])
                 for asks in order["loads"]]  # fmt: skip
        memory = memory_bytes(os.getpid())
    replies = [reply for outcome in loads for reply in outcome.replies]
    answers = [{"first_s": reply.first_s, "cached": reply.counts.cached_tokens} for reply in replies]
    print(json.dumps({"memory": memory, "answers": answers}))


if __name__ == "__main__":
    asyncio.run(main())
