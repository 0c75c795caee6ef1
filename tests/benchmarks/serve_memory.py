"""Memory of a whole process that serves 8 sequences of 1,024 tokens each, as the kernel counts it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from serve_bench import Bench
from serve_child import memory_bytes
from serve_load import Ask, drive
from serve_models import Model
from serve_ours import FORMS
from serve_peers import contender_of, start_server
from serve_report import PEER, WORKER, Target

__all__ = ["TARGETS", "run", "run_child"]

CHILD = Path(__file__).with_name("serve_child.py")
SEQUENCES, CONTEXT = 8, 1024
TOKENS = 64
NOW, PEAK = "RSS, MB", "peak RSS, MB"
NO_HOST_CACHE = ("--cache-ram", "0")

TARGETS = (
    Target("rss", NOW, 40.0, at_most=True, is_difference=True),
    Target("rss", NOW, 80.0, at_most=True, is_difference=True, ours=WORKER),
)


async def run(bench: Bench) -> None:
    for model in bench.chosen("qwen2.5-0.5b", "smollm2-135m"):
        context = min(CONTEXT // 4 if bench.quick else CONTEXT, model.context)
        asks = [Ask(model.prompt(context - TOKENS - 1, ("rss", i)), TOKENS, seed=i + 1) for i in range(SEQUENCES)]
        for name in [*bench.ours(), *(peer for peer in bench.peers() if peer == PEER)]:
            if name in FORMS:
                settings = {"form": name, "context": context, "sequences": SEQUENCES, "threads": bench.threads}
                memory = (await asyncio.to_thread(run_child, bench, model, [asks], **settings))["memory"]
            else:
                memory = await _of_peer(bench, model, context, asks)
            numbers = {NOW: memory["now"] / 1e6, PEAK: memory["peak"] / 1e6}
            bench.book.add("rss", model.name, f"{SEQUENCES} x {context} tokens", name, **numbers)


async def _of_peer(bench: Bench, model: Model, context: int, asks: list[Ask]) -> dict[str, int]:
    async with start_server(PEER, model, bench.place(context, SEQUENCES), *NO_HOST_CACHE) as server:
        contender = contender_of(server, model)
        try:
            await drive(contender, asks)
        finally:
            await contender.aclose()
        return memory_bytes(server.process.pid)


def run_child(bench: Bench, model: Model, loads: Sequence[Sequence[Ask]], **settings: Any) -> dict[str, Any]:
    """What serve_child.py printed about one load after another. Raises RuntimeError with the end of what it said."""
    order = {
        "model": str(model.path),
        "forbidden": list(model.forbidden),
        "loads": [[asdict(ask) for ask in asks] for asks in loads],
        **settings,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=bench.work, encoding="utf-8") as file:
        json.dump(order, file)
        file.flush()
        command = [sys.executable, str(CHILD), file.name]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise RuntimeError(f"serve_child.py ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]
