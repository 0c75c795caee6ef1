"""What /health says."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from edgellm.server.http.concealing import Concealer
from edgellm.server.models.manager import ModelManager

__all__ = ["FormerBundle", "Health", "StoppedWorker", "StuckModel", "server_health"]


class FormerBundle(msgspec.Struct, frozen=True, kw_only=True):
    """A name that moved to a bundle which cannot be loaded: its former bundle serves."""

    name: str
    wanted_digest: str
    serving_digest: str
    error: str
    since_s: float


class StoppedWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose worker died and has not started again; the next request after ``retry_in_s`` starts it."""

    name: str
    error: str | None
    retry_in_s: float


class StuckModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that has requests and does not get on, for far longer than its steps take. A worker like that is ended
    when it goes on so; a model in the server's own process ends with the server alone."""

    name: str
    silent_s: float


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` is what clients of llama-server look at: the server answers. ``state`` says how well."""

    status: Literal["ok"] = "ok"
    state: Literal["ok", "degraded"]
    loaded: tuple[str, ...]  # names of models
    loading: tuple[str, ...]
    former_bundles: tuple[FormerBundle, ...] = ()
    stopped_workers: tuple[StoppedWorker, ...] = ()
    stuck_models: tuple[StuckModel, ...] = ()


def server_health(models: ModelManager, conceal: Concealer) -> Health:
    """How the models are."""
    now = time.time()
    formers = tuple(
        FormerBundle(
            name=name,
            wanted_digest=move.wanted_digest,
            serving_digest=move.serving.digest,
            error=conceal.text(str(move.error)),
            since_s=now - move.since,
        )
        for name, move in sorted(models.failed_moves.items())
    )
    there = models.engines.values()
    stopped, stuck = [], []
    for resident in there:
        status = resident.engine.status()
        if status.state == "stopped":
            error = None if status.last_error is None else conceal.text(status.last_error)
            stopped.append(StoppedWorker(name=resident.bundle.name, error=error, retry_in_s=status.retry_in_s))
        if status.is_stuck:
            stuck.append(StuckModel(name=resident.bundle.name, silent_s=status.silent_s))
    return Health(
        state="degraded" if formers or stopped or stuck else "ok",
        loaded=tuple(sorted(resident.bundle.name for resident in there)),
        loading=tuple(sorted(models.loading)),
        former_bundles=formers,
        stopped_workers=tuple(stopped),
        stuck_models=tuple(stuck),
    )
