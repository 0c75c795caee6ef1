"""Modes that read a stream of the server: only while they are shown, for a reader costs power on both sides."""

from __future__ import annotations

from textual.worker import Worker

from edgellm.errors import EdgeLLMError, NetworkError
from edgellm.tui.screens.base import ModeScreen
from edgellm.tui.workers import start_work

__all__ = ["WatchedScreen"]


class WatchedScreen(ModeScreen):
    """``read_stream`` runs while the mode is shown and the server answers; it begins anew after each gap."""

    def __init__(self) -> None:
        super().__init__()
        self._watching: Worker[None] | None = None

    @property
    def is_watching(self) -> bool:
        """True while the stream is read."""
        return self._watching is not None and not self._watching.is_finished

    async def read_stream(self) -> None:
        """Read the stream and show it. What it raises ends it: a server that went away is the banner's affair."""
        raise NotImplementedError

    def on_connected(self) -> None:
        """Another server, or the same one again: what the last one said is over."""
        if self.is_current:
            self._begin()

    def on_screen_resume(self) -> None:
        """It is shown."""
        if self.connection.is_connected and not self.is_watching:
            self._begin()

    def on_screen_suspend(self) -> None:
        """Something else is shown."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _begin(self) -> None:
        self._watching = start_work(self, "watch", self._watch, exclusive=True)

    async def _watch(self) -> None:
        try:
            await self.read_stream()
        except NetworkError:
            pass
        except EdgeLLMError as error:
            self.tell(error)
