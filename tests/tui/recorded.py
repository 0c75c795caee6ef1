"""An app whose server's answers are always the same: for pictures, and for what no real server does on demand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from tui_rig import settings_of

from edgellm.errors import EdgeLLMError, NetworkError
from edgellm.running import RunningServer
from edgellm.tui.app import EdgeApp
from edgellm.tui.connection import Connection

__all__ = ["NOW_S", "RecordedConnection", "StoppedClock", "recorded_app"]

NOW_S = 1_795_693_689.0  # 26 November 2026, 11:48:09 UTC
_SERVER = RunningServer(pid=4242, version="0.1.0", store="/home/me/store", started=NOW_S - 7384, socket="/run/e.sock")


class StoppedClock:
    """The module ``time`` for screens: it is always the same moment, and ten seconds pass between two looks."""

    def __init__(self) -> None:
        self._looks = itertools.count()

    def time(self) -> float:
        return NOW_S

    def monotonic(self) -> float:
        return 10.0 * next(self._looks)


class RecordedConnection(Connection):
    """``answers`` by path: a value, an error to be raised, or for a stream a list, after which nothing more comes."""

    def __init__(self, app: EdgeApp, answers: Mapping[str, Any]) -> None:
        super().__init__(app, _NoSource())
        self.answers = answers
        self.asked: list[tuple[str, str]] = []

    async def run(self) -> None:
        """It answers at once, and for ever."""
        self.server = _SERVER
        self._connect()
        await asyncio.Event().wait()

    def break_off(self) -> None:
        """The server is lost, and stays so."""
        self._lose(NetworkError("the server unix:/run/e.sock (process 4242) has ended", hint="looking for another"), 0)
        self.retry_s = None

    async def get(self, path: str, kind: Any) -> Any:
        return self._answer("GET", path, kind)

    async def post(self, path: str, body: Any, kind: Any) -> Any:
        return self._answer("POST", path, kind)

    async def delete(self, path: str, kind: Any) -> Any:
        return self._answer("DELETE", path, kind)

    async def events(self, path: str, decoder: msgspec.json.Decoder[Any]) -> AsyncGenerator[Any, None]:
        self.asked.append(("GET", path))
        for event in self.answers[path.partition("?")[0]]:
            if isinstance(event, EdgeLLMError):
                raise event
            yield decoder.decode(msgspec.json.encode(event))
        await asyncio.Event().wait()

    def _answer(self, method: str, path: str, kind: Any) -> Any:
        self.asked.append((method, path))
        found = self.answers[path]
        if isinstance(found, EdgeLLMError):
            raise found
        return msgspec.json.decode(msgspec.json.encode(found), type=kind)


class _NoSource:
    def obtain(self) -> RunningServer:
        raise AssertionError("a recorded connection looks for no server")


def recorded_app(folder: Path, answers: Mapping[str, Any], **options: Any) -> EdgeApp:
    """An app over ``answers``; ``folder`` is an empty one for its settings."""
    app = EdgeApp(settings_of(folder), _NoSource(), **options)
    app.connection = RecordedConnection(app, answers)
    return app
