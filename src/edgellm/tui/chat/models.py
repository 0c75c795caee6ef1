"""Which model a conversation talks to, where nobody said."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from edgellm.errors import NotFoundError, UsageError
from edgellm.tui.chat.conversation import Conversation

__all__ = ["StoredModel", "choose_model", "stored_models"]

Answer = TypeVar("Answer")


class Asks(Protocol):
    """What is needed of a connection."""

    async def get(self, path: str, kind: type[Answer]) -> Answer:
        """The answer to GET ``path``."""
        ...


class StoredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle, as a chat shows it."""

    name: str
    state: str | None = None  # in memory; None where it is not
    fit: str | None = None
    context: int | None = None
    parameters: str = ""


class _Models(msgspec.Struct, frozen=True):
    models: list[StoredModel]


async def stored_models(server: Asks) -> list[StoredModel]:
    """The bundles of the server's store, those in memory in front."""
    models = (await server.get("/api/edgellm/models", _Models)).models
    return sorted(models, key=lambda model: (model.state is None, model.name))


async def choose_model(server: Asks, conversation: Conversation) -> None:
    """Give ``conversation`` a model if it has none: the one that is in memory, or the only one.

    Raises NotFoundError for an empty store, UsageError where nobody knows which one is meant.
    """
    if conversation.settings.model:
        return
    models = await stored_models(server)
    loaded = [model for model in models if model.state is not None]
    found = loaded if len(loaded) == 1 else models
    if not found:
        raise NotFoundError(
            "the store has no model",
            hint="`edgellm pull OWNER/MODEL` fetches one; on the screen, `a` in the mode Models",
        )
    if len(found) > 1:
        names = ", ".join(model.name for model in found[:6])
        raise UsageError(f"which model? There are {names}", hint="edgellm chat NAME; on the screen, Ctrl+L")
    conversation.set(settings=msgspec.structs.replace(conversation.settings, model=found[0].name))
