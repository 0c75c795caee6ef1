"""What an engine needs of a loaded model, wherever that runs: in this process or in a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from edgellm.errors import EdgeLLMError
from edgellm_runtimes.embedding import Embedding, EmbedRequest
from edgellm_runtimes.engine_info import EngineFacts, EngineStatus
from edgellm_runtimes.generation import Chunk, Request

if TYPE_CHECKING:
    from edgellm_runtimes.scheduler import SchedulerStatistics

__all__ = ["Core", "Deliver", "Delivered", "Delivery"]

Delivered = Chunk | Embedding | EdgeLLMError
"""A piece of what was asked for, or what ended it."""

Delivery = tuple[int, Delivered]
"""The id of a request, and what comes of it."""

Deliver = Callable[[list[Delivery]], None]
"""Takes what one step gave to all requests. Called on a thread of the core's; must not block."""


class Core(Protocol):
    """A loaded model. All methods may be called from any thread; ``start``, ``cancel`` and ``status`` never block."""

    @property
    def facts(self) -> EngineFacts:
        """What is known about the model."""

    @property
    def ready(self) -> bool:
        """True while ``start`` can be called: else ``revive`` comes first."""

    def revive(self) -> None:
        """Load the model again after its worker died. Blocks for as long as that takes; does nothing while ``ready``.

        Raises BusyError while it must not start yet, BackendError when closed, and what loading raises.
        """

    def start(self, request: Request | EmbedRequest) -> None:
        """Begin a request. What comes of it, a full queue too, is delivered. Raises BackendError when not ``ready``."""

    def cancel(self, request_id: int) -> None:
        """Stop a request; of one that is over, nothing happens."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``. Blocks. Raises UsageError, BackendError."""

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token, special ones too. Blocks. Raises BackendError for an id that is none."""

    def statistics(self) -> SchedulerStatistics:
        """Counters of the scheduler. Blocks. Raises BackendError while no model is loaded."""

    def status(self) -> EngineStatus:
        """Whether it runs, and where."""

    def close(self) -> None:
        """Free the model; requests in flight get a BackendError. Blocks. Calling it again does nothing."""
