"""What is said before a hub's model is downloaded, and the one question."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from edgellm.cli.console import print_message, print_warning
from edgellm.errors import Interrupted, UsageError
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.cli.hub_order import HubOrder
    from edgellm.sources.hub.reference import HubReference

__all__ = ["ask_once", "say_order"]


def say_order(order: HubOrder, endpoint: str) -> None:
    """What would be fetched, what it would be here, and its terms."""
    from edgellm.bundle.terms import license_note

    what = order.gguf.label if order.gguf is not None else "a checkpoint"
    if order.gguf is not None and (made := [recipe for recipe in order.made if recipe != order.gguf.label]):
        what += f", quantized here to {' and '.join(made)}"
    files = f", {len(order.files)} files" if len(order.files) > 1 else ""
    print_message(f"{order.origin.name}: {what}, {format_bytes(order.size_bytes)}{files} from {endpoint}")
    for target in order.targets:
        estimate = target.choice.estimate
        speed = ""
        if estimate.decode is not None:
            speed = f", {estimate.decode.low:g} to {estimate.decode.high:g} tokens/s"
        print_message(
            f"  {target.device.profile.name}: {target.choice.recipe}, "
            f"{format_bytes(estimate.memory.total_bytes)} of {format_bytes(estimate.memory_available_bytes)} memory "
            f"({estimate.verdict}{speed})"
        )
    if order.result_bytes:
        print_message(f"  disk for the bundle: {format_bytes(order.result_bytes)}")
    stated = ", ".join(order.licenses)
    print_message(f"  licence: {stated or 'not stated'}")
    repository = order.model.repository
    linked = repository.license_link or ""
    note = license_note(order.licenses, linked if linked.startswith("https://") else repository.url)
    if note is not None and stated:
        print_warning(note)


def ask_once(reference: HubReference) -> None:
    """One question. Raises UsageError where nobody can answer, Interrupted for no."""
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise UsageError(f"{reference} is not here yet, and nobody can be asked", hint="add --yes to download it")
    if not click.confirm("Download it?", default=True, err=True):
        raise Interrupted("nothing was downloaded")
