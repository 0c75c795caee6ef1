"""Options of `serve` about who may ask, how much, and what is logged."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

__all__ = ["access_options"]

_OPTIONS = (
    click.option("--require-key", is_flag=True, help="Want an API key on a loopback address too (edgellm key add)."),
    click.option("--no-key", is_flag=True, help="Want none on other addresses; needs --allow."),
    click.option(
        "--allow", multiple=True, metavar="CIDR", help="Answer clients of this network alone; may be repeated."
    ),
    click.option("--origin", multiple=True, metavar="URL", help="Let pages of this address ask; may be repeated."),
    click.option(
        "--allowed-host",
        multiple=True,
        metavar="NAME",
        help="A name that clients call this server by; may be repeated.",
    ),
    click.option("--max-body", metavar="SIZE", help="Largest body of a request.  [default: 32MiB]"),
    click.option(
        "--max-requests",
        type=click.IntRange(min=1),
        metavar="N",
        help="Requests that may run or wait; more get status 503.  [default: 256]",
    ),
    click.option("--log-format", type=click.Choice(["text", "json"]), help="Form of the log.  [default: text]"),
    click.option("--log-content", is_flag=True, help="Log prompts and answers too."),
    click.option("--no-request-log", is_flag=True, help="No line for each request."),
)


def access_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options. ``function`` gets them as fields of ServerConfig: access, limits, and those of the log."""

    @functools.wraps(function)
    def with_fields(
        require_key: bool,
        no_key: bool,
        allow: tuple[str, ...],
        origin: tuple[str, ...],
        allowed_host: tuple[str, ...],
        max_body: str | None,
        max_requests: int | None,
        no_request_log: bool,
        **others: Any,
    ) -> Any:
        from edgellm.server.limits import Limits
        from edgellm.server.security.config import AccessConfig

        sizes: dict[str, int] = {} if max_requests is None else {"max_requests": max_requests}
        if max_body is not None:
            from edgellm.units import parse_bytes

            sizes["max_body_bytes"] = parse_bytes(max_body)
            sizes["max_bodies_bytes"] = max(4 * sizes["max_body_bytes"], Limits().max_bodies_bytes)
        access = AccessConfig(
            require_key=require_key, no_key=no_key, allow=allow, origins=origin, allowed_hosts=allowed_host
        )
        return function(access=access, limits=Limits(**sizes), log_requests=not no_request_log, **others)

    for option in reversed(_OPTIONS):
        with_fields = option(with_fields)
    return with_fields
