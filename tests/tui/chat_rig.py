"""Chats of a test's own: over a real server, or over one that says what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import queue
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from textual.pilot import Pilot
from tui_rig import settings_of, wait_until

from edgellm.running import RunningServer
from edgellm.settings import SettingsWithOrigin, load_settings
from edgellm.store.store import Store
from edgellm.tui.app import EdgeApp
from edgellm.tui.chat.conversation import Conversation, encode_record
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.opening import ChatStart, Opening
from edgellm.tui.chat.records import Begun, ChatSettings, Message, Record, Role, Settled
from edgellm.tui.chat.titles import title_of
from edgellm.tui.chat.view.pane import ChatPane
from edgellm.tui.launch import Launcher
from server_process import RunningServer as ServerProcess

__all__ = [
    "ENDLESS",
    "TINY",
    "RealChats",
    "ScriptedServer",
    "answered",
    "chat_app",
    "held_load",
    "own_settings",
    "pane_of",
    "ready",
    "scripted_app",
    "scripted_server",
    "streams",
    "texts",
    "type_text",
    "utc",
    "write_conversation",
]

TINY = "tiny-llm:raspberrypi5-q4_k_m"
ENDLESS = "endless:raspberrypi5-q8_0"

STATS = {
    "prompt_tokens": 20,
    "cached_tokens": 0,
    "generated_tokens": 5,
    "queue_s": 0.0,
    "prompt_s": 0.5,
    "decode_s": 0.4,
    "seed": 1,
}
_PATIENCE_S = 30.0
_LONG_AGO = 1_735_787_045.0


def own_settings(home: Path, state: Path) -> SettingsWithOrigin:
    """The store, and the server, of ``home``; conversations of a test's own in ``state``."""
    variables = {"EDGELLM_HOME": str(home), "EDGELLM_STATE": str(state), "EDGELLM_PORT": "0"}
    return load_settings(environ=variables, system_config=home / "none")


def chat_app(settings: SettingsWithOrigin, start: ChatStart | None = None) -> EdgeApp:
    """The app in its mode Chat, over the server that runs for these settings, or that it starts."""
    app = EdgeApp(settings, Launcher(settings), start="chat")
    app.chat_start = start
    return app


def scripted_app(home: Path, server: ScriptedServer, opening: Opening | None = None, *, theme: str = "auto") -> EdgeApp:
    """The app in its mode Chat, over ``server``, with conversations below ``home``."""
    app = EdgeApp(settings_of(home), server, start="chat", theme=theme)
    app.chat_start = ChatStart(None, opening or Opening(model="thinker:pi"))
    return app


def pane_of(app: EdgeApp) -> ChatPane:
    """The conversation that the app shows."""
    return app.screen_stack[0].query_one(ChatPane)


def texts(conversation: Conversation) -> list[str]:
    """What is shown of it."""
    return [message.text for message in conversation.messages()]


def write_conversation(home: Path, said: Sequence[str], **settings: Any) -> str:
    """The id of a conversation that is kept below ``home``, in which these things were said long ago."""
    id = "20250102-030405-abcdef"
    folder = home / "state" / "conversations"
    folder.mkdir(mode=0o700, parents=True)
    records: list[Record] = [
        Begun(version=1, id=id, created=_LONG_AGO),
        Settled(title=title_of(said[0]), settings=ChatSettings(**({"model": "thinker:pi"} | settings))),
    ]
    for index, text in enumerate(said):
        role: Role = "assistant" if index % 2 else "user"
        records.append(Message(id=index + 1, role=role, text=text, parent=index or None, time=_LONG_AGO))
    path = folder / f"{id}.jsonl"
    path.write_bytes(b"".join(encode_record(record) + b"\n" for record in records))
    os.utime(path, (_LONG_AGO, _LONG_AGO))
    return id


@contextlib.contextmanager
def utc() -> Iterator[None]:
    """The same time of day everywhere."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@dataclass(frozen=True)
class RealChats:
    """Chats over the store in ``store_home`` and its ``server``, with conversations of a test's own in ``state``."""

    store_home: Path
    state: Path
    server: ServerProcess

    @property
    def home(self) -> Path:
        """Where `write_conversation` puts one that these chats have."""
        return self.state.parent

    @property
    def kept(self) -> Conversations:
        """What is on the disk."""
        return Conversations(self.state / "conversations")

    def app(self, model: str = TINY, *, conversation: str | None = None, **sampling: Any) -> EdgeApp:
        """The app in its mode Chat: in a new conversation with ``model``, or in one that is there."""
        opening = Opening(model=None if conversation else model, conversation=conversation, sampling=sampling)
        return chat_app(own_settings(self.store_home, self.state), ChatStart(None, opening))

    def write(self, said: Sequence[str], **settings: Any) -> str:
        """The id of a conversation in which these things were said long ago."""
        return write_conversation(self.home, said, **({"model": TINY} | settings))

    def requests(self, model: str) -> int:
        """How many requests the server works on for ``model``."""
        with self.server.client() as client:
            rows = client.get("/api/edgellm/ps").json()
        return sum(row["requests"] for row in rows if row["name"] == model)

    def wait_idle(self, model: str = ENDLESS) -> None:
        """Return when no sequence of ``model`` is in use: what a chat left does not go on for nobody."""
        _wait(lambda: self.requests(model) == 0)


async def ready(pilot: Pilot[None], app: EdgeApp) -> None:
    """Wait until there is a server, and a place to type."""
    await wait_until(pilot, lambda: app.connection.is_connected and app.screen.query("#prompt"), "the chat")


async def type_text(pilot: Pilot[None], text: str) -> None:
    """Press the keys of ``text``."""
    await pilot.press(*({" ": "space", "/": "slash", "\n": "ctrl+j"}.get(letter, letter) for letter in text))


async def answered(pilot: Pilot[None], app: EdgeApp, messages: int = 0) -> None:
    """Wait until nothing is answered any more, and so many messages are shown."""

    def is_there() -> bool:
        pane = pane_of(app)
        return len(pane.conversation) >= messages and not pane.is_answering

    await wait_until(pilot, is_there, "the end of the answer")
    await pilot.pause()


async def streams(pilot: Pilot[None], app: EdgeApp, characters: int = 40) -> str:
    """Wait until so much of an answer has come, and some of it is shown; returns it."""

    def came() -> str:
        so_far = pane_of(app)._so_far
        return "" if so_far is None else so_far.text

    await wait_until(pilot, lambda: len(came()) >= characters, "the beginning of the answer")
    assert pane_of(app).is_answering
    return came()


@contextlib.contextmanager
def held_load(home: Path, model: str) -> Iterator[None]:
    """While this lasts, a load of ``model`` begins and does not end: its weights are locked, as by a removal."""
    weights = Store(home / "store", home / "state").resolve(model).weights_path
    descriptor = os.open(weights, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class ScriptedServer:
    """Where a connection finds it. ``requests`` are those for answers; ``say`` and ``end`` answer the one that is
    open, in the form of the real server."""

    def __init__(self, path: Path) -> None:
        self.requests: list[dict[str, Any]] = []
        self.loading: dict[str, Any] | None = None
        self.models: list[dict[str, Any]] = [
            {"name": "thinker:pi", "state": "ready", "parameters": "1.2B"},
            {"name": "writer:pi", "state": None, "parameters": "3.0B"},
        ]
        self.closed = 0  # requests that were given up
        self._script: queue.Queue[bytes | Response | None] = queue.Queue()
        self._path = path
        self._over = threading.Event()
        self.app = Starlette(
            routes=[
                Route("/api/edgellm/chat", self._chat, methods=["POST"]),
                Route("/api/edgellm/changes", self._changes),
                Route("/api/edgellm/models", self._models),
                Route("/api/edgellm/show", self._show, methods=["POST"]),
                Route("/api/edgellm/ps", self._ps),
            ]
        )

    def obtain(self) -> RunningServer:
        """See ``ServerSource``."""
        return RunningServer(pid=os.getpid(), version="0", store="/", started=0.0, url=None, socket=str(self._path))

    def start(self) -> None:
        """The first line of an answer."""
        self._say({"type": "start", "name": "thinker:pi", "digest": "sha256:0", "context": 100, "note": ""})

    def say(self, text: str) -> None:
        """A piece of an answer."""
        self._say({"type": "text", "text": text})

    def think(self, text: str) -> None:
        """A piece of a thought."""
        self._say({"type": "thought", "text": text})

    def end(self, reason: str = "stop", **stats: Any) -> None:
        """The end of an answer."""
        self._say({"type": "end", "reason": reason, "stats": STATS | stats, "thinking_tokens": 0})
        self._script.put(None)

    def answer(self, *texts: str) -> None:
        """A whole answer."""
        self.start()
        for text in texts:
            self.say(text)
        self.end()

    def cut(self) -> None:
        """The connection breaks."""
        self._script.put(b"")

    def refuse(self, status: int, kind: str, message: str, hint: str | None = None) -> None:
        """An error in place of an answer."""
        body = {"error": {"message": message, "hint": hint, "status": status, "kind": kind}}
        self._script.put(JSONResponse(body, status))

    def over(self) -> None:
        """Let requests that are open end."""
        self._over.set()

    def _say(self, line: dict[str, Any]) -> None:
        self._script.put(json.dumps(line).encode() + b"\n")

    async def _next(self, request: Request) -> bytes | Response | None:
        while not self._over.is_set() and not await request.is_disconnected():
            with contextlib.suppress(queue.Empty):
                return self._script.get_nowait()
            await asyncio.sleep(0.005)
        self.closed += not self._over.is_set()
        return None

    async def _chat(self, request: Request) -> Response:
        self.requests.append(await request.json())
        first = await self._next(request)
        if isinstance(first, Response):
            return first

        async def lines() -> AsyncGenerator[bytes, None]:
            part: Any = first
            try:
                while part is not None:
                    if part == b"":
                        raise ConnectionResetError("as the test wants it")
                    yield part
                    part = await self._next(request)
            except asyncio.CancelledError:
                self.closed += 1
                raise

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def _changes(self, request: Request) -> Response:
        async def events() -> AsyncGenerator[bytes, None]:
            yield b'data: {"models":1,"jobs":1,"store":1}\n\n'
            while not self._over.is_set() and not await request.is_disconnected():
                await asyncio.sleep(0.02)

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _models(self, _request: Request) -> Response:
        return JSONResponse({"models": self.models})

    async def _show(self, request: Request) -> Response:
        name = (await request.json())["model"]
        if any(name in (model["name"], model["name"].partition(":")[0]) for model in self.models):
            return JSONResponse({"name": name})
        error = {"message": f"there is no model {name!r} here", "hint": None, "status": 404, "kind": "NotFoundError"}
        return JSONResponse({"error": error}, 404)

    async def _ps(self, _request: Request) -> Response:
        return JSONResponse([self.loading] if self.loading is not None else [])


@contextlib.contextmanager
def scripted_server(folder: Path) -> Iterator[ScriptedServer]:
    """A scripted server that answers on a Unix socket in ``folder`` until the block ends."""
    path = folder / "s"
    script = ScriptedServer(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        config = uvicorn.Config(script.app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            _wait(lambda: server.started)
            yield script
        finally:
            script.over()
            server.should_exit = True
            thread.join()


def _wait(holds: Callable[[], object]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)
