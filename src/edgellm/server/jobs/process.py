"""One attempt at a job: the child process, and what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgellm.errors import BackendError

__all__ = ["JobProcess", "Outcome"]

_LINE_BYTES = 1 << 20
_OUTPUT_BYTES = 16 << 20
_PATIENCE_S = 20.0
_KEPT_LINES = 20


class Outcome(msgspec.Struct, frozen=True):
    """How the child ended. ``error`` is its last error event; ``noise`` what it wrote that is no event."""

    status: int
    result: Any
    error: dict[str, Any] | None
    noise: str


class JobProcess:
    """A running command. ``told`` hears every event."""

    def __init__(self, told: Callable[[dict[str, Any]], None]) -> None:
        self._told = told
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._error: dict[str, Any] | None = None
        self._noise: list[str] = []

    async def run(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], memory_bytes: int
    ) -> Outcome:
        """Run `edgellm command` to its end. Raises BackendError when it cannot be started."""
        parent_fd, alive_fd = os.pipe()  # the child ends when alive_fd closes, so with this process at the latest
        try:
            arguments = [f"--parent-fd={parent_fd}", f"--memory-bytes={memory_bytes}", "--", *command]
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "edgellm.cli.background", *arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    cwd=folder,
                    env=dict(environment),
                    pass_fds=(parent_fd,),
                    start_new_session=True,
                    limit=_LINE_BYTES,
                )
            except OSError as error:
                raise BackendError(f"a job cannot be started: {error}") from error
            if self._stopping:
                self.stop()
            try:
                output, _ = await asyncio.gather(self._output(), self._events())
                status = await self._process.wait()
            finally:
                await self._end()
        finally:
            os.close(parent_fd)
            os.close(alive_fd)
        return Outcome(status, _decoded(output), self._error, "\n".join(self._noise[-_KEPT_LINES:]))

    def stop(self) -> None:
        """Ask the child to end; it cleans up first."""
        self._stopping = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the child at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _end(self) -> None:
        """Nobody waits for it any more: it must not stay."""
        assert self._process is not None
        if self._process.returncode is None:
            self.stop()
            try:
                await asyncio.wait_for(self._process.wait(), _PATIENCE_S)
            except (TimeoutError, asyncio.CancelledError):
                self.kill()
                await self._process.wait()

    async def _output(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        found = bytearray()
        while part := await self._process.stdout.read(1 << 16):
            if len(found) < _OUTPUT_BYTES:
                found += part
        return bytes(found)

    async def _events(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line longer than any of ours
                continue
            if not line:
                return
            self._event(line)

    def _event(self, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            self._noise.append(line.decode("utf-8", "replace").rstrip()[:500])
            del self._noise[:-_KEPT_LINES]
            return
        if event.get("event") == "error":
            self._error = event
        self._told(event)


def _decoded(output: bytes) -> Any:
    try:
        return msgspec.json.decode(output) if output.strip() else None
    except msgspec.MsgspecError:
        return None
