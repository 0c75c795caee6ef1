"""The servers that we are compared with, started on a free port of the loopback interface, and stopped again."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from serve_http import HttpContender
from serve_models import Model

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "oracle"))
import oracle_tools

__all__ = ["PEERS", "Server", "absent", "contender_of", "end_with_parent", "open_peer", "start_server"]

BATCH, UBATCH = 2048, 512
START_S = 120.0
STOP_S = 10.0
_PR_SET_PDEATHSIG = 1
PACKAGES = (  # of llama_cpp.server and of the example server; llama_cpp itself is the one that we use
    "fastapi",
    "openai",
    "pydantic-settings",
    "PyYAML",
    "safetensors",
    "sse-starlette",
    "starlette-context>=0.3.6,<0.4",
    "uvicorn",
    "websockets",
)


class Place(NamedTuple):
    """How much a server is to hold, and where it writes."""

    context: int  # tokens of one sequence
    sequences: int
    threads: int
    folder: Path


class Server(NamedTuple):
    """A running server."""

    name: str
    url: str
    process: subprocess.Popen[bytes]


def _llama_server(model: Model, place: Place, port: int, more: tuple[str, ...]) -> list[str]:
    threads = str(place.threads)
    command = [str(oracle_tools.cache_folder() / "bin" / "llama-server"), "-m", str(model.path)]
    command += ["--host", "127.0.0.1", "--port", str(port), "-np", str(place.sequences), "-kvu", "-fa", "on"]
    command += ["-b", str(BATCH), "-ub", str(UBATCH), "-t", threads, "-tb", threads]
    return [*command, "-c", str(place.context * place.sequences), *more]


def _example_server(model: Model, place: Place, port: int, more: tuple[str, ...]) -> list[str]:
    settings = {
        "path": str(model.path),
        "alias": "m",
        "n_ctx": place.context * place.sequences,
        "n_seq_max": place.sequences,
        "n_batch": BATCH,
        "n_ubatch": UBATCH,
        "threads": place.threads,
        "threads_batch": place.threads,
        "kv_unified": True,
        "flash_attn": True,
        "n_gpu_layers": 0,
        "store_logits": False,
    }
    config = place.folder / f"example-server-{port}.json"
    config.write_text(json.dumps({"server": {"host": "127.0.0.1", "port": port}, "model": settings}), encoding="utf-8")
    return [sys.executable, str(oracle_tools.python_server()), "-C", str(config), *more]


def _llama_cpp_server(model: Model, place: Place, port: int, more: tuple[str, ...]) -> list[str]:
    options = {
        "model": str(model.path),
        "model_alias": "m",
        "host": "127.0.0.1",
        "port": port,
        "n_ctx": place.context,
        "n_batch": UBATCH,
        "n_threads": place.threads,
        "n_threads_batch": place.threads,
        "flash_attn": "true",
        "interrupt_requests": "false",  # else a second request ends the first one
    }
    pairs = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "llama_cpp.server", *pairs, *more]


class Peer(NamedTuple):
    """How a server is started, when it is ready, and what it understands."""

    command: object
    ready: str
    exact: bool = False
    takes_ids: bool = True
    python: bool = True


PEERS = {
    "llama-server": Peer(_llama_server, "/health", exact=True, python=False),
    "examples/server": Peer(_example_server, "/healthz"),
    "llama_cpp.server": Peer(_llama_cpp_server, "/v1/models", takes_ids=False),
}


def absent(name: str) -> str | None:
    """Why a peer cannot run here, or None. Installs the packages of the Python servers when they are not there."""
    if not oracle_tools.is_built(serving=True):
        return "it is not built: python tests/oracle/build_tools.py --serving"
    if PEERS[name].python and not _packages().exists():
        return _install_packages()
    return None


def _packages() -> Path:
    return oracle_tools.cache_folder() / "python-servers"


def _install_packages() -> str | None:
    """Next to our own environment, not into it. Returns what went wrong."""
    print("installing the packages of the servers in Python", file=sys.stderr, flush=True)
    unfinished = _packages().with_name("python-servers.new")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--target", str(unfinished), *PACKAGES], capture_output=True, text=True)
    if done.returncode != 0:
        return f"its packages cannot be installed: {done.stderr.strip().splitlines()[-1:]}"
    unfinished.rename(_packages())
    return None


@asynccontextmanager
async def start_server(name: str, model: Model, place: Place, *more: str) -> AsyncIterator[Server]:
    """A server that answers. ``more`` are further arguments. Raises RuntimeError with the end of its log."""
    peer = PEERS[name]
    port = _free_port()
    command = peer.command(model, place, port, more)  # type: ignore[operator]
    log = place.folder / f"{name.replace('/', '-')}-{port}.log"
    environment = dict(os.environ)
    if peer.python:
        environment["PYTHONPATH"] = str(_packages())
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            preexec_fn=end_with_parent,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await _wait(process, url + peer.ready, log)
        yield Server(name, url, process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@asynccontextmanager
async def open_peer(name: str, model: Model, place: Place, *more: str) -> AsyncIterator[HttpContender]:
    """A contender that asks a server of its own."""
    async with start_server(name, model, place, *more) as server:
        contender = contender_of(server, model)
        try:
            yield contender
        finally:
            await contender.aclose()


def contender_of(server: Server, model: Model) -> HttpContender:
    """Who asks ``server``."""
    peer = PEERS[server.name]
    text_of = None if peer.takes_ids else model.text
    return HttpContender(server.name, server.url, forbidden=model.forbidden, exact=peer.exact, text_of=text_of)


def end_with_parent() -> None:
    """In the new process: a server must not outlive a benchmark that is killed, it would disturb the next one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    async with httpx.AsyncClient(timeout=5) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(f"{log.stem} does not answer:\n{tail}")
