"""A process with a model in a worker, for tests that kill it: usage worker_parent.py MODEL CONTEXT MODE

Prints the worker's id, then asks for something: "idle" for nothing, "stream" for an endless text, "prefill" for one
prompt that fills the context in a single step, "lock" for native code that keeps the interpreter's lock (the worker's
sitecustomize does that at SIGUSR1).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import GenerationOptions
from edgellm_runtimes.load import LoadRequest
from edgellm_runtimes.sampling import SamplingParams


async def main() -> None:
    path, context, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    request = LoadRequest(model_path=path, context=context, ubatch=context, force=True)
    async with await Engine.load(request, isolation="worker") as engine:
        pid = engine.status().pid
        assert pid is not None
        print(pid, flush=True)
        if mode == "prefill":
            async for _ in engine.generate([5 + i % 100 for i in range(context - 8)]):
                raise AssertionError("that was too fast to be killed in")
        if mode == "stream":
            endless = SamplingParams(temperature=0, ignore_eos=True)
            async for _ in engine.generate([5], options=GenerationOptions(sampling=endless, overflow="shift")):
                pass
        if mode == "lock":
            os.kill(pid, signal.SIGUSR1)
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main())
