"""Apps over answers that are always the same: what snapshots show must not depend on a machine or a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgellm.api.changes import Changes
from edgellm.errors import EdgeLLMError, NetworkError, NotFoundError
from edgellm.running import RunningServer
from edgellm.settings import load_settings
from edgellm.tui.app import EdgeApp
from edgellm.tui.connection import Connection

__all__ = ["CannedApp", "CannedConnection", "NoServer"]

SERVER = RunningServer(
    pid=4711, version="0.1.0", store="/home/me/.local/share/edgellm/store", started=0.0, socket="/run/edgellm.sock"
)


class NoServer:
    """A source that never has one."""

    def obtain(self) -> RunningServer:
        raise NetworkError("the server did not start: the store is damaged", hint="run edgellm doctor")


class CannedConnection(Connection):
    """Answers by path: values, lists of values for streams, or errors. ``asked`` is what was sent, as JSON values.

    ``lose`` and ``found`` change its state as the end and the start of a server would.
    """

    def __init__(self, app: EdgeApp, answers: Mapping[str, Any]) -> None:
        super().__init__(app, NoServer())
        self.answers = dict(answers)
        self.asked: list[tuple[str, Any]] = []

    async def run(self) -> None:
        self.server = SERVER
        self.found()
        await asyncio.Event().wait()

    def found(self) -> None:
        self._connect()
        self.latest = Changes(models=1, jobs=1, store=1)

    def lose(self, error: EdgeLLMError, retry_s: float = 0.0) -> None:
        self._lose(error, retry_s)

    async def get(self, path: str, kind: Any) -> Any:
        return self._answer(path, None, kind)

    async def post(self, path: str, body: Any, kind: Any) -> Any:
        return self._answer(path, body, kind)

    async def delete(self, path: str, kind: Any) -> Any:
        return self._answer(path, None, kind)

    async def lines(self, path: str, body: Any, decoder: Any) -> AsyncGenerator[Any, None]:
        for item in self._stream(path, body):
            yield decoder.decode(msgspec.json.encode(item))

    async def events(self, path: str, decoder: Any) -> AsyncGenerator[Any, None]:
        """As a server does, which ends such a stream only when it ends itself."""
        for item in self._stream(path, None):
            yield decoder.decode(msgspec.json.encode(item))
        await asyncio.Event().wait()

    def _stream(self, path: str, body: Any) -> list[Any]:
        found = self._found(path, body)
        assert isinstance(found, list)
        return found

    def _answer(self, path: str, body: Any, kind: Any) -> Any:
        return msgspec.json.decode(msgspec.json.encode(self._found(path, body)), type=kind)

    def _found(self, path: str, body: Any) -> Any:
        self.asked.append((path, msgspec.to_builtins(body)))
        if not self.is_connected:
            raise self.problem or NetworkError("the server is not there")
        plain = path.partition("?")[0]
        found = self.answers.get(path, self.answers.get(plain))
        if isinstance(found, EdgeLLMError):
            raise found
        if found is None:
            raise NotFoundError(f"there is no {path}")
        return found


class CannedApp(EdgeApp):
    """An app over ``answers``; what screens it never shows need no answer."""

    def __init__(self, answers: Mapping[str, Any], **options: Any) -> None:
        nowhere = Path("/nonexistent")
        settings = load_settings(
            environ={"EDGELLM_HOME": str(nowhere), "EDGELLM_PORT": "0"}, system_config=nowhere / "none"
        )
        super().__init__(settings, NoServer(), **options)
        self.canned = CannedConnection(self, answers)
        self.connection = self.canned
