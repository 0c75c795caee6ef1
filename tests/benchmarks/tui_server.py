"""A child of tui.py: a server that says always the same, so that its work is not that of the terminal.

usage: tui_server.py HOME MODELS TOKENS_PER_S TOKENS

It answers on a Unix socket in HOME/run with MODELS models, and each chat with TOKENS words of Markdown at TOKENS_PER_S.
Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edgellm.running import RunningServer, RuntimeFile

GIB = 1 << 30
STATS = {"prompt_tokens": 20, "cached_tokens": 0, "generated_tokens": 5, "queue_s": 0.0, "prompt_s": 0.5}


def main() -> None:
    home, models, per_s, tokens = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / "store").mkdir(exist_ok=True)
    path = home / "run" / "scripted.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        running = RunningServer(
            pid=os.getpid(), version="0", store=str(home / "store"), started=time.time(), socket=str(path)
        )
        file = RuntimeFile(home / "run", running)
        server = uvicorn.Server(uvicorn.Config(_app(models, per_s, tokens), log_config=None, lifespan="off"))
        threading.Thread(target=_until_told, daemon=True).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        try:
            asyncio.run(server.serve(sockets=[listener]))
        finally:
            file.remove()


def _until_told() -> None:
    sys.stdin.read()
    os._exit(0)


def words() -> Iterator[str]:
    """Markdown as models write it: paragraphs, lists, code."""
    for number in itertools.count():
        if number % 120 == 60:
            yield "\n\n```python\nfor each in range(10):\n    print(each)\n```\n\n"
        elif number % 40 == 20:
            yield "\n\n- a point with **weight** and `code`\n"
        elif number % 25 == 24:
            yield " end.\n\n"
        else:
            yield ("The", " small", " model", " writes", " about", " rivers", ",", " and")[number % 8]


def _app(count: int, per_s: float, tokens: int) -> Starlette:
    models = {"models": [_model(number) for number in range(count)], "memory": _room()}

    async def changes(_request: Request) -> Response:
        return _events(_once({"models": 1, "jobs": 1, "store": 1}))

    async def chat(request: Request) -> Response:
        await request.json()
        return StreamingResponse(_answer(per_s, tokens), media_type="application/x-ndjson")

    async def listing(_request: Request) -> Response:
        return JSONResponse(models)

    async def show(request: Request) -> Response:
        wanted = (await request.json())["model"]
        found = next((model for model in models["models"] if model["name"] == wanted), None)
        return await error(request) if found is None else JSONResponse(found)

    async def nothing(_request: Request) -> Response:
        return JSONResponse([])

    async def error(_request: Request) -> Response:
        return JSONResponse({"error": {"message": "not here", "status": 404, "kind": "NotFoundError"}}, 404)

    return Starlette(
        routes=[
            Route("/api/edgellm/changes", changes),
            Route("/api/edgellm/models", listing),
            Route("/api/edgellm/show", show, methods=["POST"]),
            Route("/api/edgellm/ps", nothing),
            Route("/api/edgellm/chat", chat, methods=["POST"]),
            Route("/{path:path}", error, methods=["GET", "POST"]),
        ]
    )


def _model(number: int) -> dict[str, Any]:
    return {
        "name": f"model-{number:03d}:raspberrypi5-q4_k_m",
        "digest": f"sha256:{number:064d}",
        "store": "user",
        "device": "raspberrypi5",
        "recipe": "Q4_K_M",
        "format": "gguf",
        "parameters": f"{number % 9}.5B",
        "context": 4096,
        "size_bytes": number * 7919 % 97 * (GIB // 16),
        "shared_bytes": 0,
        "previous_digest": None,
        "licenses": ["Apache-2.0"],
        "problem": None,
        "needed_bytes": number * 7919 % 97 * (GIB // 14),
        "fit": ("fits", "tight", "does not fit")[number % 3],
        "predicted_decode": {"low": 4.0, "high": 8.0, "basis": "predicted"},
        "pinned": number == 3,
        "state": "ready" if number == 3 else None,
    }


def _room() -> dict[str, int]:
    return {"models_bytes": 4 * GIB, "left_bytes": 3 * GIB, "server_bytes": 1 << 26}


async def _once(event: Any) -> AsyncGenerator[Any, None]:
    yield event
    await asyncio.Event().wait()


def _events(items: AsyncGenerator[Any, None]) -> Response:
    async def encoded() -> AsyncGenerator[bytes, None]:
        async for item in items:
            yield b"data: " + json.dumps(item).encode() + b"\n\n"

    return StreamingResponse(encoded(), media_type="text/event-stream")


async def _answer(per_s: float, tokens: int) -> AsyncGenerator[bytes, None]:
    start = {"type": "start", "name": "model-003:raspberrypi5-q4_k_m", "digest": "sha256:3", "context": 100_000}
    yield json.dumps(start | {"note": ""}).encode() + b"\n"
    begun = time.monotonic()
    for number, word in enumerate(itertools.islice(words(), tokens)):
        await asyncio.sleep(max(0.0, begun + number / per_s - time.monotonic()))
        yield json.dumps({"type": "text", "text": word}).encode() + b"\n"
    took = time.monotonic() - begun
    stats = STATS | {"generated_tokens": tokens, "decode_s": took, "seed": 1}
    yield json.dumps({"type": "text", "text": " THE-END"}).encode() + b"\n"
    yield json.dumps({"type": "end", "reason": "stop", "stats": stats, "thinking_tokens": 0}).encode() + b"\n"


if __name__ == "__main__":
    main()
