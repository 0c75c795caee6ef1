"""What compiles, what does not and why, how fast hostile grammars end, and life without llguidance."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgellm.errors import BackendError, UnsupportedError, UsageError
from edgellm_runtimes.backend import BackendSettings, Vocabulary
from edgellm_runtimes.grammar import Grammar, GrammarKind
from edgellm_runtimes.structured import GrammarCompiler
from structured_rig import schema, take

pytest.importorskip("llguidance", reason="there is no wheel of llguidance for this platform")

LONGEST_S = 20.0  # the deadline of the helper is 5 s; machines under test are slow and busy


@pytest.fixture(scope="module")
def vocabulary(tiny_gguf: Path) -> Iterator[Vocabulary]:
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64, batch=32, ubatch=32))
    yield backend.vocabulary
    backend.close()


@pytest.fixture(scope="module")
def compiler(vocabulary: Vocabulary) -> GrammarCompiler:
    return GrammarCompiler(vocabulary, vocabulary.n_tokens)


WRONG: list[tuple[GrammarKind, str, str]] = [
    ("json_schema", "{", "no JSON"),
    ("json_schema", "true} , {", "no JSON"),
    ("json_schema", 'true }, {"lark_grammar": "start: /a/"', "no JSON"),
    ("json_schema", "[]", "object"),
    ("json_schema", "12", "object"),
    ("json_schema", "false", "object"),
    ("json_schema", '{"type": 12}', "type"),
    ("json_schema", '{"type": "integer", "minimum": 5, "maximum": 3}', "minimum"),
    ("json_schema", '{"uniqueItems": true, "type": "array"}', "uniqueItems"),
    ("json_schema", '{"$ref": "https://example.com/schema.json"}', "example.com"),
    ("json_schema", '{"$ref": "#"}', "json_schema"),
    ("json_schema", '{"type": "string", "format": "no such"}', "no such"),
    ("json_schema", '{"const": "\\ud800"}', "json_schema"),
    ("regex", "(", "unclosed"),
    ("regex", "a(?=b)", "look-around"),
    ("regex", r"(a)\1", "backreferences"),
    ("regex", "[]", "regex"),
    ("regex", "\ud800", "not valid Unicode"),
    ("lark", "start: missing", "missing"),
    ("lark", "no grammar", "lark"),
    ("lark", "start: start", "lark"),
    ("lark", '{"grammars": [{"json_schema": true}]}', "lark"),
    ("lark", "start: <|no such token|>", "no such token"),
    ("lark", "%import .file.NAME\nstart: NAME", "file"),
    ("gbnf", "root :=", "::="),
    ("gbnf", 'leaf ::= "a"', "root"),
    ("gbnf", 'root ::= "a', "end of input"),
    ("gbnf", 'root ::= "\\', "gbnf"),
    ("gbnf", "root ::= missing", "missing"),
    ("gbnf", r'root ::= "\ud800"', "gbnf"),
]


@pytest.mark.parametrize(("kind", "text", "reason"), WRONG)
def test_a_wrong_grammar_is_refused_with_the_reason(
    compiler: GrammarCompiler, kind: GrammarKind, text: str, reason: str
) -> None:
    with pytest.raises(UsageError, match=f"the {kind} cannot be used") as caught:
        compiler.compile(Grammar(kind, text))
    assert reason in caught.value.message
    assert len(caught.value.message) < 400
    assert "\n" not in caught.value.message
    assert caught.value.hint is not None


def chain(count: int, link: Any, last: Any) -> str:
    definitions = {f"a{number}": link({"$ref": f"#/$defs/a{number + 1}"}) for number in range(count)}
    return json.dumps({"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{count}": last}})


def lark_chain(count: int, name: str, body: str) -> str:
    rules = "\n".join(f"{name}{number}: " + body.format(f"{name}{number + 1}") for number in range(count))
    return f'start: {name}0\n{rules}\n{name}{count}: "a"'


HOSTILE: dict[str, tuple[GrammarKind, str]] = {
    "nested objects": ("json_schema", '{"properties":{"a":' * 20_000 + "{}" + "}}" * 20_000),
    "nested arrays": ("json_schema", "[" * 500_000),
    "references to references": ("json_schema", chain(6_000, lambda link: link, {"type": "string"})),
    "objects of objects": (
        "json_schema",
        chain(2_000, lambda link: {"type": "object", "properties": {"x": link}, "required": ["x"]}, {}),
    ),
    "alternatives of alternatives": ("json_schema", chain(6_000, lambda link: {"anyOf": [link, {"type": "null"}]}, {})),
    "a megabyte of properties": (
        "json_schema",
        json.dumps({"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(35_000)}}),
    ),
    "conditions multiplied": (
        "json_schema",
        json.dumps(
            {"allOf": [{"anyOf": [{"properties": {f"p{i}_{j}": {"const": i}}} for j in range(5)]} for i in range(12)]}
        ),
    ),
    "nested groups": ("regex", "(" * 200_000 + "a" + ")" * 200_000),
    "optional letters": ("regex", "a?" * 100_000),
    "nested brackets": ("lark", "start: " + "(" * 200_000 + '"a"' + ")" * 200_000),
    "a chain of rules": ("lark", lark_chain(20_000, "r", "{}")),
    "a chain of terminals": ("lark", lark_chain(20_000, "R", "{}")),
    "doubled terminals": ("lark", lark_chain(60, "R", "{0} {0}")),
    "gbnf groups": ("gbnf", "root ::= " + "(" * 200_000),
    "gbnf rules in the slowest order": (
        "gbnf",
        "root ::= r0\n" + "".join(f"r{number} ::= r{number + 1}\n" for number in range(20_000)) + 'r20000 ::= "a"',
    ),
    "gbnf comments": ("gbnf", 'root ::= "a"\n' + "#\n" * 500_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_grammar_ends_soon_and_leaves_the_process_alone(compiler: GrammarCompiler, name: str) -> None:
    started = time.monotonic()
    with pytest.raises(UsageError) as caught:
        compiler.compile(Grammar(*HOSTILE[name]))
    assert caught.value.hint is not None
    assert len(caught.value.message) < 400
    assert time.monotonic() - started < LONGEST_S
    assert compiler.compile(Grammar("regex", f"after {name}")).start().forced()


@pytest.mark.parametrize("text", ["(a|b)*a(a|b){400}", "(a|aa)*(a|aa)*b"])
def test_a_regular_expression_that_explodes_elsewhere_is_followed(
    compiler: GrammarCompiler, vocabulary: Vocabulary, text: str
) -> None:
    constraint = compiler.compile(Grammar("regex", text)).start()
    take(constraint, vocabulary, "a" * 80)
    assert not constraint.is_over


def test_a_long_schema_of_a_sane_shape_compiles(compiler: GrammarCompiler, vocabulary: Vocabulary) -> None:
    words = [f"value number {number}" for number in range(3000)]
    constraint = compiler.compile(schema({"enum": words})).start()
    take(constraint, vocabulary, '"value number 2999"')
    assert constraint.is_over


GBNF = r"""
# a list of moves
root ::= move (", " move)* end?
move ::= [a-h] [1-8] | "O-O" ("-O")?
end ::= "\n" [^"\\]{1,3}
"""


@pytest.mark.parametrize(
    ("text", "complete"),
    [("e4", True), ("e4, d5, O-O-O", True), ("e4, ", False), ("O-O\nxyz", True), ("e4\n", False)],
)
def test_gbnf_means_what_llama_cpp_means(
    compiler: GrammarCompiler, vocabulary: Vocabulary, text: str, complete: bool
) -> None:
    constraint = compiler.compile(Grammar("gbnf", GBNF)).start()
    take(constraint, vocabulary, text)
    assert constraint.can_end is complete


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r'root ::= "\u00e9\u0022\U0001f389\\u00e9"', 'é"🎉\\u00e9'),
        (r"root ::= [^\u0000-\u001f\u4e00]+", "日"),
        (r"root ::= [\u005b-\u005d]{3}", r"[\]"),
        (r'root ::= "\x41\t/"', "A\t/"),
    ],
)
def test_gbnf_escapes_are_read(compiler: GrammarCompiler, vocabulary: Vocabulary, text: str, answer: str) -> None:
    constraint = compiler.compile(Grammar("gbnf", text)).start()
    take(constraint, vocabulary, answer)
    assert constraint.can_end


@pytest.mark.parametrize("text", ["true", "{}"])
def test_any_json_is_a_schema_too(compiler: GrammarCompiler, vocabulary: Vocabulary, text: str) -> None:
    constraint = compiler.compile(Grammar("json_schema", text)).start()
    take(constraint, vocabulary, '{"a": [1, null, "b"]}')
    assert constraint.is_over


def test_a_grammar_is_compiled_once(compiler: GrammarCompiler) -> None:
    first = compiler.compile(Grammar("regex", "once"))
    assert compiler.compile(Grammar("regex", "once")) is first
    assert compiler.compile(Grammar("lark", 'start: "once"')) is not first


def test_the_cache_keeps_the_last_ones(vocabulary: Vocabulary) -> None:
    compiler = GrammarCompiler(vocabulary, vocabulary.n_tokens)
    often = compiler.compile(Grammar("regex", "often"))
    seldom = compiler.compile(Grammar("regex", "seldom"))
    for number in range(30):
        compiler.compile(Grammar("regex", f"number {number}"))
        assert compiler.compile(Grammar("regex", "often")) is often
    assert compiler.compile(Grammar("regex", "seldom")) is not seldom


def test_threads_that_want_the_same_grammar_get_the_same(vocabulary: Vocabulary) -> None:
    compiler = GrammarCompiler(vocabulary, vocabulary.n_tokens)
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(compiler.compile(schema({"type": "integer"})))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(map(id, results))) == 1


def test_a_grammar_that_failed_on_the_way_is_compiled_anew(compiler: GrammarCompiler, vocabulary: Vocabulary) -> None:
    names = [f"r{number}" for number in range(3000)]
    rules = "".join(f'{name}: "a" start?\n' for name in names)
    grammar = Grammar("lark", f'start: "x" ({" | ".join(names)})\n{rules}')
    compiled = compiler.compile(grammar)
    constraint = compiled.start()
    with pytest.raises(UsageError, match="cannot be followed after"):
        take(constraint, vocabulary, "xaxa")
    assert compiler.compile(grammar) is not compiled


def test_after_close_nothing_compiles_and_what_runs_goes_on(vocabulary: Vocabulary) -> None:
    compiler = GrammarCompiler(vocabulary, vocabulary.n_tokens)
    constraint = compiler.compile(Grammar("regex", "to be or not")).start()
    compiler.close()
    with pytest.raises(BackendError, match="closed"):
        compiler.compile(Grammar("regex", "a"))
    forced = constraint.forced()
    assert b"to be or not".startswith(b"".join(map(vocabulary.piece, forced)))
    assert forced


class _EndlessVocabulary:
    """The vocabulary of a model that cannot end."""

    n_tokens = 3

    def is_end(self, _token: int) -> bool:
        return False

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return b"abc"[token : token + 1]


def test_a_model_that_cannot_end_is_refused() -> None:
    compiler = GrammarCompiler(_EndlessVocabulary(), 3)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="no token that ends"):
        compiler.compile(Grammar("regex", "a"))


WITHOUT = """
import sys
from pathlib import Path
sys.modules["llguidance"] = None  # what the import system makes an ImportError of
from edgellm.errors import UnsupportedError
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.llama_cpp.model import LlamaBackend
from edgellm_runtimes.structured import GrammarCompiler

backend = LlamaBackend(Path(sys.argv[1]), BackendSettings(context=64, batch=32, ubatch=32))
compiler = GrammarCompiler(backend.vocabulary, backend.limits.n_vocab)
for attempt in (lambda: compiler.compile(Grammar("regex", "a")), compiler.prepare):
    try:
        attempt()
    except UnsupportedError as error:
        print(error.message, "|", error.hint)
compiler.close()
tokens = backend.vocabulary.tokenize("Friends, Romans", add_special=True, parse_special=False)
print(backend.decode([TokenSlice(0, tokens, 1)]).shape[0], "row")
backend.close()
"""


def test_without_llguidance_only_structured_output_is_missing(tiny_gguf: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tiny_gguf)], capture_output=True, text=True, check=True, timeout=120
    )
    first, second, decoded = done.stdout.splitlines()
    assert first == second
    assert "needs the package llguidance" in first
    assert "pip install" in first
    assert decoded == "1 row"


def test_importing_structured_output_imports_nothing_heavy() -> None:
    code = (
        "import sys, edgellm_runtimes.structured; "
        "print([name for name in ('numpy', 'llguidance', 'llama_cpp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
