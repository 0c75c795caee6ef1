"""Slots as llama-server shows them: a caller sees the requests of their own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import msgspec
from starlette.requests import Request

from edgellm.server.caller import caller_of
from edgellm.server.dialects.llamacpp.settings import SlotSettings
from edgellm.server.models.loaded import LoadedModel

__all__ = ["NextToken", "Slot", "SlotTask", "Slots", "slots_of"]


class NextToken(msgspec.Struct, frozen=True):
    """How far an answer is."""

    has_next_token: bool
    has_new_line: bool
    n_remain: int  # -1 without an end
    n_decoded: int


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A place for one answer. The fields from ``id_task`` on are those of the answer that runs or was the last."""

    id: int
    n_ctx: int
    speculative: bool
    is_processing: bool
    id_task: int | msgspec.UnsetType = msgspec.UNSET
    n_prompt_tokens: int | msgspec.UnsetType = msgspec.UNSET
    n_prompt_tokens_processed: int | msgspec.UnsetType = msgspec.UNSET
    n_prompt_tokens_cache: int | msgspec.UnsetType = msgspec.UNSET
    params: SlotSettings | msgspec.UnsetType = msgspec.UNSET
    next_token: tuple[NextToken, ...] | msgspec.UnsetType = msgspec.UNSET


@dataclass
class SlotTask:
    """One answer, in the slot ``id_slot``."""

    id: int
    id_slot: int
    params: SlotSettings
    prompt_tokens: int
    cached_tokens: int = 0
    decoded: int = 0
    has_new_line: bool = False
    running: bool = True

    def saw(self, text: str, tokens: int) -> None:
        """Count what came."""
        self.decoded += tokens
        self.has_new_line = self.has_new_line or "\n" in text

    def show(self, n_ctx: int) -> Slot:
        """The slot with this answer."""
        most = self.params.n_predict
        following = NextToken(self.running, self.has_new_line, -1 if most < 0 else most - self.decoded, self.decoded)
        return Slot(
            id=self.id_slot,
            n_ctx=n_ctx,
            speculative=False,
            is_processing=self.running,
            id_task=self.id,
            n_prompt_tokens=self.prompt_tokens + self.decoded,
            n_prompt_tokens_processed=self.prompt_tokens - self.cached_tokens,
            n_prompt_tokens_cache=self.cached_tokens,
            params=self.params,
            next_token=(following,),
        )


@dataclass
class Slots:
    """Who uses which slot: a caller has as many of a model as it has sequences, and more while requests wait."""

    _ids: itertools.count[int] = field(default_factory=itertools.count)
    _tasks: dict[tuple[str, str], dict[int, SlotTask]] = field(default_factory=dict)

    def begin(self, caller: str, model: LoadedModel, params: SlotSettings, prompt_tokens: int) -> SlotTask:
        """A task in the lowest slot that is free."""
        tasks = self._tasks.setdefault((caller, model.bundle.digest), {})
        free = next(number for number in itertools.count() if number not in tasks or not tasks[number].running)
        task = tasks[free] = SlotTask(next(self._ids), free, params, prompt_tokens)
        return task

    def end(self, caller: str, model: LoadedModel, task: SlotTask) -> None:
        """The task is over; it stays to be shown where the model has such a slot."""
        task.running = False
        tasks = self._tasks[caller, model.bundle.digest]
        if task.id_slot >= model.engine.info.sequences and tasks.get(task.id_slot) is task:
            del tasks[task.id_slot]

    def show(self, caller: str, model: LoadedModel) -> list[Slot]:
        """Every slot of ``model``."""
        tasks = self._tasks.get((caller, model.bundle.digest), {})
        n_ctx = model.engine.info.context
        return [
            tasks[number].show(n_ctx)
            if number in tasks
            else Slot(id=number, n_ctx=n_ctx, speculative=False, is_processing=False)
            for number in range(model.engine.info.sequences)
        ]


def slots_of(request: Request) -> tuple[Slots, str]:
    """The slots of this server, and the caller's name in them."""
    state = request.app.state
    if not hasattr(state, "llamacpp_slots"):
        state.llamacpp_slots = Slots()
    slots = state.llamacpp_slots
    assert isinstance(slots, Slots)
    return slots, caller_of(request).name
