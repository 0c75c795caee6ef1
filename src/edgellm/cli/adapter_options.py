"""`--adapter NAME=PATH`: the adapters that a pack brings along."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edgellm.errors import UsageError

if TYPE_CHECKING:
    from edgellm_converters.pack.adapter_input import AdapterInput

__all__ = ["open_adapters"]


def open_adapters(texts: Sequence[str], stack: ExitStack) -> tuple[AdapterInput, ...]:
    """Open what ``texts`` name, headers only, until ``stack`` ends. Raises UsageError and what opening raises."""
    if not texts:
        return ()
    from edgellm.bundle.adapters import ADAPTERS_LIMIT, parse_adapter_name
    from edgellm.paths import user_path
    from edgellm_converters.pack.adapter_input import open_adapter

    if len(texts) > ADAPTERS_LIMIT:
        raise UsageError(f"{len(texts)} adapters are given; a bundle takes at most {ADAPTERS_LIMIT}")
    opened: dict[str, AdapterInput] = {}
    for text in texts:
        name_text, equals, path = text.partition("=")
        if not equals or not path:
            raise UsageError(
                f"--adapter {text[:80]!r} does not say what the adapter is to be called",
                hint="--adapter NAME=PATH, such as --adapter sql=./sql-lora",
            )
        name = parse_adapter_name(name_text)
        if name in opened:
            raise UsageError(f"two adapters are called {name}", hint="give each a name of its own")
        opened[name] = open_adapter(name, user_path(path))
        stack.callback(opened[name].close)
    return tuple(opened.values())
