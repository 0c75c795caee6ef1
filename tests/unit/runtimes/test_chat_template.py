"""Chat templates: Hugging Face's semantics, and no way to run for ever, grow for ever or get out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgellm.errors import BundleError, UsageError
from edgellm_runtimes.chat import render_chat, render_chat_async
from edgellm_runtimes.template_process import TemplateProcess, shared_process

MESSAGES = [{"role": "user", "content": "Grüße 🎉"}]


@pytest.fixture(autouse=True, scope="module")
def _close_the_child() -> Iterator[None]:
    yield
    shared_process().close()


def test_a_chat_is_rendered() -> None:
    template = (
        "{%- for message in messages %}\n"
        "    {{- bos_token + message['role'] + ': ' + message.content + eos_token }}\n"
        "{%- endfor %}\n"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    assert render_chat(template, MESSAGES, bos_token="<s>", eos_token="</s>") == "<s>user: Grüße 🎉</s>assistant: "


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ messages[0].content | tojson }}", '"Grüße 🎉"'),
        ("{{ {'b': '<', 'a': 1} | tojson }}", '{"b": "<", "a": 1}'),
        ("{{ {'b': [1], 'a': 2} | tojson(indent=1, sort_keys=true) }}", '{\n "a": 2,\n "b": [\n  1\n ]\n}'),
        ("{% generation %}{{ messages[0].role }}{% endgeneration %}", "user"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{{ tools is none }} {{ documents is none }} {{ unknown is defined }}", "True True False"),
        ("{{ dict(a=1)['a'] }}", "1"),
        ("{{ strftime_now('%%') }}", "%"),
    ],
)
def test_what_templates_of_the_hub_rely_on(template: str, expected: str) -> None:
    assert render_chat(template, MESSAGES) == expected


def test_tools_and_variables_reach_the_template() -> None:
    tools = [{"type": "function", "function": {"name": "add"}}]
    text = render_chat(
        "{{ tools[0].function.name }} {{ thinking }}", MESSAGES, tools=tools, variables={"thinking": False}
    )
    assert text == "add False"


BOMBS = {
    "nested ranges": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "big power": "{{ 7 ** (9 ** 9) }}",
    "long repetition": "{{ 'a' * 100000000000 }}",
    "repeated list": "{{ [0] * 10000000000 }}",
    "doubling text": "{% set n = namespace(x='aaaa') %}{% for i in range(64) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "constant folding": "{{ ('x' * 1000000) * 1000000 }}",
    "padding": "{{ '%0999999999d' % 3 }}",
    "endless output": "{% for a in range(99999) %}{% for b in range(999) %}{{ 'x' * 99 }}{% endfor %}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nested brackets": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "range too long": "{{ range(10 ** 12) }}",
    "growing list": (
        "{% set n = namespace(x=[1]) %}{% for i in range(64) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}"
    ),
    "joined": "{{ range(99999) | map('string') | join('x' * 99999) }}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_stopped_in_time(name: str) -> None:
    started = time.monotonic()
    with pytest.raises(BundleError) as caught:
        render_chat(BOMBS[name], MESSAGES, timeout_s=0.5)
    # the deadline, plus the start of a child on a loaded machine
    assert time.monotonic() - started < 10
    assert caught.value.hint is not None
    assert render_chat("{{ messages[0].role }}", MESSAGES) == "user"


def test_the_event_loop_goes_on_while_a_bomb_burns() -> None:
    async def beats() -> int:
        count = 0
        bomb = asyncio.create_task(render_chat_async(BOMBS["nested ranges"], MESSAGES, timeout_s=0.5))
        while not bomb.done():
            count += 1
            await asyncio.sleep(0.01)
        with pytest.raises(BundleError, match="did not end within"):
            await bomb
        return count

    assert asyncio.run(beats()) > 5


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'x': 1}) }}",
        "{{ raise_exception.__globals__ }}",
        "{{ (messages | map(attribute='__class__') | list)[0].mro() }}",
        "{{ dict.__init__.__globals__ }}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{{ namespace(__class__=1) }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ lipsum.__globals__ }}",
        "{{ self._TemplateReference__context.environment }}{{ self.__init__.__globals__ }}",
    ],
)
def test_a_template_cannot_get_out(template: str) -> None:
    try:
        shown = render_chat(template, MESSAGES)
    except BundleError:
        return
    assert shown == ""  # an attribute that the sandbox hides is undefined, and prints as nothing


def test_what_the_template_says_about_the_messages_is_passed_on() -> None:
    with pytest.raises(UsageError, match="roles must alternate"):
        render_chat("{{ raise_exception('roles must alternate') }}", MESSAGES)


def test_a_broken_template_names_the_line() -> None:
    with pytest.raises(BundleError, match="line 2"):
        render_chat("one\n{% if %}", MESSAGES)


def test_without_a_template_raw_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        render_chat(None, MESSAGES)
    assert "--raw" in (caught.value.hint or "")


def test_a_huge_template_is_refused() -> None:
    with pytest.raises(BundleError, match="larger than"):
        render_chat("x" * (2**20 + 1), MESSAGES)


@pytest.mark.parametrize(
    "messages",
    [[], "hello", {"role": "user"}, [{"content": "x"}], ["x"], [{"role": 3}], [{"role": "user", "content": 3}]],
)
def test_malformed_messages_are_refused(messages: Any) -> None:
    with pytest.raises(UsageError):
        render_chat("x", messages)


def test_content_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(UsageError, match="JSON"):
        render_chat("x", [{"role": "user", "content": [object()]}])


def test_large_messages_pass_the_pipe() -> None:
    text = "wörd " * 300_000
    assert render_chat("{{ messages[0].content }}", [{"role": "user", "content": text}]) == text


def test_the_child_ends_with_its_parent() -> None:
    code = (
        "import os, sys; from edgellm_runtimes.template_process import shared_process; p = shared_process(); "
        "p.render('x', {}, timeout_s=2, limit_characters=9); print(p._child.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _runs(int(done.stdout)):
        time.sleep(0.01)
    assert not _runs(int(done.stdout))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] != "Z"


def test_a_child_that_left_is_replaced() -> None:
    process = TemplateProcess()
    try:
        assert process.render("a", {}, timeout_s=2, limit_characters=9) == {"text": "a"}
        assert process._child is not None
        assert process._child.stdin is not None
        process._child.stdin.close()  # the child reads the end of its input and leaves
        process._child.wait(10)
        reader, writer = os.pipe()
        os.close(reader)
        process._child.stdin = os.fdopen(writer, "wb")  # a pipe that nobody reads, as it is after the child left
        assert process.render("b", {}, timeout_s=2, limit_characters=9) == {"text": "b"}
    finally:
        process.close()
