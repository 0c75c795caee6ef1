"""`edgellm serve` as its users start it, over a store of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from serve_http import HttpContender
from serve_load import Ask, drive
from serve_models import Model, checkpoint_of
from serve_peers import end_with_parent
from serve_report import Book
from serve_streams import CONTEXT

__all__ = ["HttpBench", "Served", "open_server"]

_STOP_S = 20.0


@dataclass
class HttpBench:
    """What a run was asked for."""

    model: Model
    work: Path
    book: Book
    threads: int
    rounds: int
    streams: Sequence[int]
    tokens: int


@dataclass
class Served:
    """A server of ours that has the model loaded."""

    url: str
    name: str  # of the model in its store
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """Processor time of all threads of the server's own process until now."""
        found = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            found += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        return found / 1e9

    def contender(self, model: Model) -> HttpContender:
        """Who asks it."""
        return HttpContender("edgellm serve", self.url, forbidden=model.forbidden, model=self.name)


@asynccontextmanager
async def open_server(bench: HttpBench, sequences: int, *arguments: str) -> AsyncIterator[Served]:
    """A server with ``sequences`` answers at a time, warm. ``arguments`` are those of `edgellm serve`."""
    home = bench.work / f"http-home-{bench.model.name}"
    environment = {
        **os.environ,
        "EDGELLM_HOME": str(home),
        "EDGELLM_PARALLEL": str(sequences),
        "EDGELLM_THREADS": str(bench.threads),
    }
    program = str(Path(sys.executable).with_name("edgellm"))
    if not home.exists():  # a context as large as that of the others
        command = [program, "pack", str(checkpoint_of(bench.model.name, bench.work)), "--device", "local", "--quiet"]
        command += ["--quant", bench.model.recipe, "--context", str(CONTEXT)]
        subprocess.run(command, check=True, env=environment)
    listed = json.loads(subprocess.run([program, "list", "--json"], env=environment, capture_output=True).stdout)
    name = listed[0]["name"]
    with (bench.work / "http-serve.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", "--port", "0", "--no-socket", "--json", "--no-request-log", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            preexec_fn=end_with_parent,
        )
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        if not line:
            raise RuntimeError(f"edgellm serve ended: {(bench.work / 'http-serve.log').read_text()[-2000:]}")
        served = Served(json.loads(line)["url"], name, process)
        contender = served.contender(bench.model)
        await drive(contender, [Ask(bench.model.prompt(8, ("warm", i)), 8) for i in range(min(sequences, 4))])
        await contender.aclose()
        await _check(served, sequences)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _check(served: Served, sequences: int) -> None:
    """Times of another number of answers at a time would say nothing."""
    async with httpx.AsyncClient(trust_env=False) as client:
        models = (await client.get(f"{served.url}/api/edgellm/ps")).json()
    text = json.dumps(models)
    if f'"sequences": {sequences}' not in text:
        raise RuntimeError(f"the server does not give {sequences} answers at a time: {text[:500]}")
