"""Writes docs/reference from the code: ``python -m edgellm.cli.reference``; ``--check`` fails where a file differs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

__all__ = ["generated_files", "main"]

_WIDTH = 100


def main() -> int:
    """Write the files, or with ``--check`` compare them; returns the exit status."""
    folder = Path("docs/reference")
    stale = []
    for name, text in generated_files().items():
        path = folder / name
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(str(path))
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run: make docs\n")
    return 1 if stale else 0


def generated_files() -> dict[str, str]:
    """File name in docs/reference -> content."""
    from edgellm.devices.schema import devices_markdown, profile_schema
    from edgellm.project import project_schema
    from edgellm.server.dialects import DIALECTS
    from edgellm.server.openapi.document import openapi_document

    return {
        "cli.md": _cli_markdown(),
        "settings.md": _settings_markdown(),
        "sampling.md": _sampling_markdown(),
        "project-schema.json": _json(project_schema()),
        "profile-schema.json": _json(profile_schema()),
        "devices.md": devices_markdown(),
        "gguf-metadata.md": _metadata_markdown(),
        "http/openapi.json": _json(openapi_document(DIALECTS)),
    }


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2).decode() + "\n"


def _metadata_markdown() -> str:
    from edgellm_converters.gguf.differences import JUSTIFIED_DIFFERENCES

    lines = [
        "# GGUF metadata",
        "",
        "The keys of a packed checkpoint, their values and types are those of llama.cpp's `convert_hf_to_gguf.py` and",
        "`llama-quantize`; `make oracle` compares them for every family. The differences:",
        "",
        *(f"- `{key}`: {reason}" for key, reason in JUSTIFIED_DIFFERENCES.items()),
        "",
        "The plan of the bundle holds what GGUF has no key for: every token that ends a reply, the tokenizer's text",
        "normalization, and where it puts a space before a text.",
        "",
    ]
    return "\n".join(lines)


def _cli_markdown() -> str:
    from edgellm.cli.main import cli

    parts = ["# Command line\n\nGenerated from `--help`.\n"]
    for context in _walk("edgellm", cli, None):
        parts.append(f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n")
    return "\n".join(parts)


def _walk(name: str, command: click.Command, parent: click.Context | None) -> Iterator[click.Context]:
    """The context of a command and of all below it, as a call of them would have it."""
    settings = {"max_content_width": _WIDTH, "terminal_width": _WIDTH, **command.context_settings}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    yield context
    if isinstance(command, click.Group):
        for inner_name in command.list_commands(context):
            inner = command.get_command(context, inner_name)
            assert inner is not None
            yield from _walk(inner_name, inner, context)


def _settings_markdown() -> str:
    from edgellm.settings import Settings, field_help

    lines = [
        "# Settings",
        "",
        "Precedence: the flag typed, the environment variable, the file given with `--config`,",
        "`~/.config/edgellm/config.toml`, `/etc/edgellm/config.toml`, the default.",
        "`edgellm config show --origin` prints what is in force and where it comes from.",
        "",
        "| setting | variable | default | meaning |",
        "|---|---|---|---|",
    ]
    defaults = Settings()
    for name, text in field_help().items():
        value = getattr(defaults, name)
        lines.append(f"| `{name}` | `EDGELLM_{name.upper()}` | {'-' if value is None else value} | {text} |")
    lines += [
        "",
        "More variables: `EDGELLM_HOME` moves every folder below one; `EDGELLM_DEBUG=1` shows tracebacks and the",
        "runtime's own messages; `EDGELLM_PROGRESS=json` makes progress and messages lines of JSON; `NO_COLOR` turns",
        "colour off.",
        "",
    ]
    return "\n".join(lines)


def _sampling_markdown() -> str:
    from edgellm_runtimes.sampling import ORDERS, SamplingParams
    from edgellm_runtimes.sampling_table import PARAMETERS, SECTIONS

    lines = [
        "# Sampling parameters",
        "",
        "What decides the next token. On the command line `top_k` is `--top-k`. What is not given comes from the",
        "model's own recommendation in the bundle, then from the defaults here.",
        "[How it works](../concepts/sampling.md).",
        "",
    ]
    defaults = SamplingParams()
    for section, about in SECTIONS.items():
        lines += [f"## {section}", "", about, "", "| parameter | values | default | meaning |", "|---|---|---|---|"]
        for parameter in PARAMETERS:
            if parameter.section == section:
                default = _default_text(getattr(defaults, parameter.name))
                meaning = parameter.meaning
                if parameter.is_turned_off:
                    meaning = f"false (`--no-{parameter.name.replace('_', '-')}`): {meaning}"
                lines.append(f"| `{parameter.name}` | {parameter.values} | {default} | {meaning} |")
        lines.append("")
    lines += [
        "## Orders",
        "",
        "Bias, penalties and DRY change the logits first; then the stages apply in this order:",
        "",
    ]
    lines += [f"- `{name}`: {', '.join(stages)}" for name, stages in ORDERS.items()]
    return "\n".join([*lines, ""])


def _default_text(value: object) -> str:
    if value is None or value == {}:
        return "-"
    if isinstance(value, tuple):
        return ", ".join("`" + json.dumps(text) + "`" for text in value)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value).strip('"')


if __name__ == "__main__":
    sys.exit(main())
