"""What every chat with a system prompt begins with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from backends import open_backend
from edgellm.errors import BundleError, UnsupportedError, UsageError
from edgellm_runtimes.backend import Backend, BackendSettings
from edgellm_runtimes.chat import render_chat
from edgellm_runtimes.system_prompt import system_prompt_tokens

TEXT = "You answer for a small board.\nBe brief.  Name the units."
BODY = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def backend(tiny_model: Path) -> Iterator[Backend]:
    backend = open_backend(tiny_model, BackendSettings(context=64))
    yield backend
    backend.close()


def chat_tokens(backend: Backend, template: str | None, user: str, now: datetime | None = None) -> list[int]:
    vocabulary = backend.vocabulary
    ends = {
        name: vocabulary.piece(token, special=True).decode() if token is not None else ""
        for name, token in (("bos_token", vocabulary.bos), ("eos_token", vocabulary.eos))
    }
    messages = [{"role": "system", "content": TEXT}, {"role": "user", "content": user}]
    return vocabulary.tokenize(render_chat(template, messages, now=now, **ends), add_special=False, parse_special=True)


@pytest.mark.parametrize("user", ["What is it?", "12", "\n", " ", "\tx", "ß", "🎉", "</s>", ".", "Z" * 500])
def test_every_chat_begins_with_the_tokens(backend: Backend, user: str) -> None:
    template = backend.facts.chat_template
    found = system_prompt_tokens(backend.vocabulary, template, TEXT)
    text = b"".join(backend.vocabulary.piece(token, special=True) for token in found.tokens).decode()
    assert TEXT in text
    assert not found.dated
    assert tuple(chat_tokens(backend, template, user)[: len(found.tokens)]) == found.tokens


def test_nothing_of_a_users_message_is_in_the_tokens(backend: Backend) -> None:
    tokens = system_prompt_tokens(backend.vocabulary, BODY, TEXT).tokens
    text = b"".join(backend.vocabulary.piece(token, special=True) for token in tokens).decode()
    assert text.startswith(f"[system] {TEXT}\n")
    assert f"[system] {TEXT}\n[user] ".startswith(text)


def test_what_the_template_trims_is_no_change(backend: Backend) -> None:
    trimming = BODY.replace("m.content", "m.content | trim")
    plain = system_prompt_tokens(backend.vocabulary, trimming, TEXT)
    assert system_prompt_tokens(backend.vocabulary, trimming, f"\n{TEXT}  ") == plain


def test_the_tokens_end_before_a_date(backend: Backend) -> None:
    first = "[today] {{ strftime_now('%d %b %Y') }}\n" + BODY
    between = BODY.replace("[{{ m.role }}]", "{% if loop.last %}{{ strftime_now('%A') }}{% endif %}[{{ m.role }}]")
    last = BODY + "{{ strftime_now('%Y') }}"
    vocabulary = backend.vocabulary
    found = {name: system_prompt_tokens(vocabulary, name, TEXT) for name in (first, between, last)}
    assert [found[name].dated for name in (first, between, last)] == [True, True, False]
    assert 0 < len(found[first].tokens) < 8 < len(found[between].tokens)
    day = datetime(2026, 5, 6)
    of_day = system_prompt_tokens(vocabulary, first, TEXT, days=[day])
    assert not of_day.dated
    assert tuple(chat_tokens(backend, first, "Hi", day)[: len(of_day.tokens)]) == of_day.tokens
    today = system_prompt_tokens(vocabulary, first, TEXT, days=[None])
    assert len(today.tokens) > len(found[first].tokens)


@pytest.mark.parametrize(
    ("template", "error"),
    [
        (None, UsageError),
        ("{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}", UnsupportedError),
        ("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}", UsageError),
        ("{{ messages[0].content.upper() }}", UnsupportedError),
        ("{% broken", BundleError),
    ],
)
def test_a_template_without_room_for_it_is_an_error(
    backend: Backend, template: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        system_prompt_tokens(backend.vocabulary, template, TEXT)


def test_a_template_that_begins_with_the_users_message_has_no_tokens(backend: Backend) -> None:
    assert (
        system_prompt_tokens(backend.vocabulary, "{{ messages[1].content }}{{ messages[0].content }}", TEXT).tokens
        == ()
    )
