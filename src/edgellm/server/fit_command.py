"""`edgellm fit` as a child process: reading a checkpoint's headers takes the converters, which no server imports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgellm.api.models import FitOrder
from edgellm.errors import (
    BackendError,
    BusyError,
    DoesNotFitError,
    EdgeLLMError,
    NotFoundError,
    UsageError,
)
from edgellm.server.jobs.commands import linked_model
from edgellm.server.jobs.orders import check_files
from edgellm.server.state import ServerState
from edgellm.sources.hub.reference import parse_hub_reference

__all__ = ["run_fit"]

_TIMEOUT_S = 300.0  # headers of a large model come over a slow line
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,63}")
_BY_EXIT_CODE: dict[int, type[EdgeLLMError]] = {2: UsageError, 3: NotFoundError, 4: DoesNotFitError}
_one_at_a_time = asyncio.Semaphore(1)  # each is a process with the memory of one


async def run_fit(state: ServerState, order: FitOrder) -> Any:
    """The object that the command prints. Raises what it ends with, BusyError after too long."""
    options = _options(order)
    model = "" if order.files else await _model(state, order)
    async with _one_at_a_time:
        with _nowhere(state, order) as nowhere:  # no word of a client's names a file there
            if order.files:
                found = await asyncio.to_thread(linked_model, order.files, order.folder, nowhere, state.uploads.find)
                model = str(found)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "edgellm.cli.main", *options, "--", model),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=nowhere,
                env=_environment(state),
            )
            try:
                output, said = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
            except TimeoutError:
                raise BusyError(f"reading {order.model or 'the files'} took longer than {_TIMEOUT_S:.0f} s") from None
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
    if output.strip():  # also where nothing fits
        return msgspec.json.decode(output)
    raise _error(process.returncode or 0, said.decode("utf-8", "replace").replace(f"{nowhere}/model/", ""))


@contextlib.contextmanager
def _nowhere(state: ServerState, order: FitOrder) -> Iterator[Path]:
    """An empty folder; for uploaded files one on their disk."""
    if order.files:
        with state.uploads.workplace() as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="edgellm-fit-") as name:
            yield Path(name)


def _options(order: FitOrder) -> list[str]:
    """Raises UsageError for what might be read as a path or an option."""
    if bool(order.model) == bool(order.files):
        raise UsageError("either a model or files can fit", hint='give "model" or "files"')
    check_files(order.files, order.folder)
    if order.device is not None and not _DEVICE.fullmatch(order.device):
        raise UsageError(f"{order.device[:80]!r} is no device profile", hint="`edgellm devices list` shows them")
    options = {
        "format": order.format,
        "device": order.device,
        "memory": order.memory,
        "context": order.context,
        "sequences": order.sequences,
        "min-speed": order.min_speed,
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return ["fit", "--json", *given]


async def _model(state: ServerState, order: FitOrder) -> str:
    """Raises UsageError, NotFoundError: what reaches the command is a name of the store or of a hub, never a path."""
    try:
        return (await state.models.resolve(order.model)).name
    except (NotFoundError, UsageError) as error:
        try:
            return str(parse_hub_reference(order.model))
        except UsageError:
            raise error from None


def _environment(state: ServerState) -> dict[str, str]:
    """The command sees this server's store, whatever named it."""
    paths = state.settings.paths
    system = "" if paths.system_store is None else str(paths.system_store)
    return {
        **os.environ,
        "EDGELLM_STORE": str(paths.store),
        "EDGELLM_STATE": str(paths.state),
        "EDGELLM_SYSTEM_STORE": system,
        "NO_COLOR": "1",
    }


def _error(exit_code: int, said: str) -> EdgeLLMError:
    lines = said.splitlines()
    message = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), "")
    hint = next((line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")), None)
    kind = _BY_EXIT_CODE.get(exit_code, BackendError)
    return kind(message or f"reading the model failed (status {exit_code})", hint=hint)
