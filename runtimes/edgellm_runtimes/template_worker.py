"""The child process that renders chat templates: `python -m edgellm_runtimes.template_worker`.

A template is code from the internet. Jinja's sandbox keeps it from touching Python, but not from running or growing
for ever: nested ranges, repeated strings and huge powers all pass. So it runs here, as a helper (``helper_child``).

Request: template, variables, timeout_s, limit_characters, now (ISO 8601, or null: the time that the template takes for
the present). Answer: {"text": ...} or {"error": ..., "kind": "raised" | "template" | "memory" | "size"}.

Semantics: those of Hugging Face's apply_chat_template
(https://huggingface.co/docs/transformers/main/en/chat_templating_writing).
"""

from __future__ import annotations

import functools
import json
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import jinja2.utils

from edgellm_runtimes.helper_child import serve_requests

__all__ = ["main"]

_MEMORY_BYTES = 512 * 2**20  # address space: the interpreter itself takes a fifth of it


class _GenerationBlock(jinja2.ext.Extension):
    """``{% generation %}`` marks the assistant's tokens for training; rendering shows its body as it is."""

    tags = {"generation"}  # noqa: RUF012  the attribute is Jinja's

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


class _Namespace(jinja2.utils.Namespace):
    """Jinja's ``namespace()`` without underscored names, which could reach the object itself."""

    def __init__(*arguments: Any, **values: Any) -> None:
        self, *rest = arguments
        merged = dict(*rest, **values)
        for name in merged:
            _refuse_underscore(name)
        jinja2.utils.Namespace.__init__(self, merged)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


def _refuse_underscore(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")


class _Dict:
    """``dict(...)`` as a plain callable: the type itself has attributes that a template need not see."""

    def __call__(self, *arguments: Any, **values: Any) -> dict[Any, Any]:
        return dict(*arguments, **values)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        return dict.fromkeys(*arguments)


class _RaisedError(jinja2.TemplateError):
    """What the template itself says about the messages."""


def _raise_exception(message: object) -> None:
    raise _RaisedError(str(message))


_now: datetime | None = None  # what the template takes for the present


def _strftime_now(form: str) -> str:
    return (_now or datetime.now()).strftime(form)  # local time, as Hugging Face does


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@functools.cache
def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.pop("lipsum", None)
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = _Dict()
    environment.globals["namespace"] = _Namespace
    return environment


@functools.lru_cache(maxsize=4)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


def render(
    template: str, variables: dict[str, Any], limit_characters: int, now: datetime | None = None
) -> dict[str, str]:
    """The answer to one request."""
    global _now
    _now = now
    parts: list[str] = []
    length = 0
    try:
        for part in _compiled(template).generate(**variables):
            length += len(part)
            if length > limit_characters:
                return {"kind": "size", "error": f"the text is longer than {limit_characters} characters"}
            parts.append(part)
    except (MemoryError, OverflowError) as error:
        parts.clear()
        return {"kind": "memory", "error": str(error) or "out of memory"}
    except _RaisedError as error:
        return {"kind": "raised", "error": str(error)[:2000]}
    except jinja2.TemplateSyntaxError as error:
        return {"kind": "template", "error": f"line {error.lineno}: {error.message}"}
    except Exception as error:  # noqa: BLE001  a template can raise anything
        text = str(error) or type(error).__name__
        return {"kind": "template", "error": text[:2000]}
    return {"text": "".join(parts)}


def _answer(request: dict[str, Any]) -> dict[str, str]:
    now = datetime.fromisoformat(request["now"]) if request.get("now") else None
    return render(request["template"], request["variables"], request["limit_characters"], now)


def main() -> None:
    """Serve requests until stdin ends or nothing was asked for a minute."""
    serve_requests(_answer, _MEMORY_BYTES)


if __name__ == "__main__":
    main()
