"""The process that tests/benchmarks/fit.py measures: what `edgellm run` is, for one prompt of one full step.

usage: python tests/benchmarks/fit_child.py memory|speed MODEL.gguf CONTEXT REPACK

Prints one JSON line: memory of this process as the kernel counts it, or the median tokens per second of a few repeats.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgellm_runtimes.engine import Engine
    from edgellm_runtimes.generation import GenerationStats

PROMPT_TOKENS = 512
MEMORY_TOKENS = 16
SPEED_TOKENS = 64
SPEED_REPEATS = 5


async def generate(engine: Engine, tokens: int, first: int = 3) -> GenerationStats:
    """One prompt of a full step, then `tokens` tokens. Another `first` shares nothing with the cache."""
    params = engine.params(max_tokens=tokens, temperature=0.0, ignore_eos=True)
    prompt = [first + i % 1000 for i in range(PROMPT_TOKENS)]
    async for chunk in engine.generate(prompt, params):
        last = chunk
    assert last.stats is not None
    assert last.stats.generated_tokens == tokens
    assert last.stats.cached_tokens == 0
    return last.stats


async def memory(engine: Engine) -> dict[str, float]:
    """The kernel's own count of this process while the model is loaded."""
    await generate(engine, MEMORY_TOKENS)
    wanted = {"VmRSS": "rss_bytes", "RssAnon": "anonymous_bytes", "RssFile": "file_bytes"}
    found = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        key, _, rest = line.partition(":")
        if key in wanted:
            found[wanted[key]] = int(rest.split()[0]) * 1024
    return dict(found)


async def speed(engine: Engine) -> dict[str, float]:
    """Tokens per second: of the prompt, and of the tokens that follow it."""
    runs = [await generate(engine, SPEED_TOKENS, 3 + repeat) for repeat in range(SPEED_REPEATS)]
    return {
        "prefill": PROMPT_TOKENS / statistics.median(run.prompt_s for run in runs),
        "decode": (SPEED_TOKENS - 1) / statistics.median(run.decode_s for run in runs),
    }


async def main() -> None:
    import edgellm.cli.run  # what the command has loaded counts too
    import edgellm.cli.run_session  # noqa: F401
    from edgellm_runtimes.engine import Engine
    from edgellm_runtimes.load import LoadRequest

    mode, model, context, repack = sys.argv[1:]
    request = LoadRequest(
        model_path=Path(model), context=int(context), sequences=1, ubatch=PROMPT_TOKENS, repack=repack == "1"
    )
    async with await Engine.load(request) as engine:
        print(json.dumps(await (memory if mode == "memory" else speed)(engine)))


if __name__ == "__main__":
    asyncio.run(main())
