"""Which model a conversation talks to: the one that is named, if there is one of that name, or the only one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from edgellm.api.models import ShowRequest
from edgellm.errors import NotFoundError, UsageError
from edgellm.tui.chat.conversation import Conversation

__all__ = ["StoredModel", "check_model", "choose_model", "empty_store", "no_such_model", "stored_models"]

Answer = TypeVar("Answer")
_MOST_NAMES = 6


class Asks(Protocol):
    """What is needed of a connection."""

    async def get(self, path: str, kind: type[Answer]) -> Answer:
        """The answer to GET ``path``."""
        ...

    async def post(self, path: str, body: Any, kind: type[Answer]) -> Answer:
        """The answer to POST ``path`` with ``body`` as JSON."""
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


class _Known(msgspec.Struct, frozen=True):
    """Of what the server says about a model nothing is of interest here."""


async def stored_models(server: Asks) -> list[StoredModel]:
    """The bundles of the server's store, those in memory in front."""
    models = (await server.get("/api/edgellm/models", _Models)).models
    return sorted(models, key=lambda model: (model.state is None, model.name))


async def choose_model(server: Asks, conversation: Conversation) -> None:
    """Give ``conversation`` a model if it has none: the one that is in memory, or the only one.

    Raises NotFoundError for an empty store and where the conversation's model is not there, UsageError where nobody
    knows which one is meant.
    """
    if conversation.settings.model:
        await check_model(server, conversation.settings.model)
        return
    models = await stored_models(server)
    loaded = [model for model in models if model.state is not None]
    found = loaded if len(loaded) == 1 else models
    if not found:
        raise empty_store()
    if len(found) > 1:
        raise UsageError(
            f"which model? There are {_listed([each.name for each in found])}",
            hint="edgellm chat NAME; on the screen, Ctrl+L",
        )
    conversation.set(settings=msgspec.structs.replace(conversation.settings, model=found[0].name))


async def check_model(server: Asks, name: str) -> None:
    """Raise NotFoundError, with the names that there are, where the server has no model ``name``; UsageError where the
    name means several."""
    try:
        await server.post("/api/edgellm/show", ShowRequest(name), _Known)
    except NotFoundError as error:
        raise no_such_model(name, [each.name for each in await stored_models(server)]) from error


def no_such_model(name: str, names: Sequence[str]) -> NotFoundError:
    """What is said where ``name`` is none of ``names``, which are all that there are."""
    if not names:
        empty = empty_store()
        return NotFoundError(f"there is no model {name!r}: {empty.message}", hint=empty.hint)
    return NotFoundError(f"there is no model {name!r}", hint=f"the store has {_listed(names)}")


def empty_store() -> NotFoundError:
    """What is said where there is no model at all."""
    return NotFoundError(
        "the store has no model",
        hint="`edgellm pull OWNER/MODEL` fetches one; on the screen, `a` in the mode Models",
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more: `edgellm list`" if more > 0 else "")
