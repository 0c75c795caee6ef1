"""edgellm serve"""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=11434, show_default=True, help="Port to listen on.")
def command(host: str, port: int) -> None:
    """Answer requests of apps over HTTP, as OpenAI, Ollama and Anthropic do."""
    import asyncio

    from edgellm.cli.context import open_store, user_settings
    from edgellm.server.config import ServerConfig
    from edgellm.server.serve import serve

    settings = user_settings()
    asyncio.run(serve(ServerConfig(host=host, port=port), settings, open_store(settings)))
