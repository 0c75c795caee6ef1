"""edgellm ps"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgellm.cli.context import json_option

if TYPE_CHECKING:
    from edgellm.api.models import ModelStatus
    from edgellm.running import RunningServer

__all__ = ["command"]


@click.command("ps")
@json_option
def command(as_json: bool) -> None:
    """Show the servers that run, and the models that they have loaded."""
    from edgellm.cli.console import print_json, print_message
    from edgellm.cli.context import user_settings
    from edgellm.cli.servers import ask_each
    from edgellm.client.find import find_servers
    from edgellm.client.models import loaded_models

    answers = ask_each(find_servers(user_settings()), loaded_models)
    if as_json:
        print_json([{"server": server, "models": models} for server, models in answers])
        return
    if not answers:
        print_message("no server runs: `edgellm serve` starts one")
        return
    _print(answers)


def _print(answers: list[tuple[RunningServer, list[ModelStatus]]]) -> None:
    from edgellm.cli.console import print_message, print_table, printable

    for server, models in answers:
        what = "no model loaded" if not models else f"{len(models)} loaded"
        print_message(f"{server.address} (process {server.pid}, store {server.store}): {what}")
    rows = [
        [
            printable(model.name),
            model.state,
            _memory(model),
            str(model.context or "-"),
            str(model.requests),
            _ends(model),
        ]
        for _, models in answers
        for model in models
    ]
    if rows:
        print_table(["NAME", "STATE", "MEMORY", "CONTEXT", "REQUESTS", "UNLOADED IN"], rows, right=(2, 3, 4))


def _memory(model: ModelStatus) -> str:
    from edgellm.units import format_bytes

    size_bytes = model.used_bytes or model.needed_bytes
    return "-" if size_bytes is None else format_bytes(size_bytes)


def _ends(model: ModelStatus) -> str:
    from edgellm.units import format_duration

    if model.pinned:
        return "pinned"
    return "-" if model.expires_in_s is None else format_duration(model.expires_in_s)
