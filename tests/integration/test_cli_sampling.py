"""Sampling options of `edgellm run`, through the process as a user calls it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from cli_process import Cli

END = 2
OPEN = ("--top-k", "0", "--top-p", "1", "--min-p", "0")  # no truncation


def run(packed: Cli, *options: str, tokens: int = 12) -> Any:
    return packed.json("run", "tiny-llm", "Once", "--raw", "-n", str(tokens), *options)


def text(packed: Cli, *options: str, tokens: int = 12) -> str:
    return str(run(packed, *options, tokens=tokens)["text"])


@pytest.mark.parametrize(
    "options",
    [
        ("--top-n-sigma", "0.00001"),
        ("--mirostat", "2", "--mirostat-tau", "0", "--mirostat-eta", "0"),
        ("--order", "transformers", "--min-p", "1"),
        ("--order", "vllm", "--top-k", "1"),
        ("--typical-p", "1", "--dynamic-temperature-range", "5", "--dynamic-temperature-exponent", "100"),
    ],
    ids=lambda options: options[0].strip("-"),
)
def test_a_truncation_that_leaves_one_token_is_greedy(packed: Cli, options: tuple[str, ...]) -> None:
    hot = ("--temperature", "5", *OPEN, "--seed", "1")
    greedy = text(packed, "--temperature", "0")
    assert text(packed, *hot) != greedy
    assert text(packed, *hot, *options) == greedy


def test_typical_keeps_the_tokens_of_usual_surprise_not_the_likeliest(packed: Cli) -> None:
    options = ("--temperature", "1", *OPEN, "--typical-p", "0.00001")
    typical = [text(packed, *options, "--seed", seed) for seed in ("1", "2")]
    assert typical[0] == typical[1] != text(packed, "--temperature", "0")


def test_an_order_decides_whether_the_filters_see_the_temperature(packed: Cli) -> None:
    options = ("--temperature", "5", *OPEN, "--min-p", "0.3", "--logprobs", "1000", "--logprob-scope", "processed")
    left = {
        order: len(run(packed, *options, "--order", order, tokens=1)["logprobs"][0]["top"])
        for order in ("llama.cpp", "transformers", "vllm")
    }
    assert 1 < left["llama.cpp"] < 100 < left["transformers"] == left["vllm"]


def test_xtc_drops_the_likeliest_of_several_good_choices(packed: Cli) -> None:
    greedy = run(packed, "--temperature", "0", "--logprobs", "2", tokens=1)["logprobs"][0]
    assert math.exp(greedy["top"][1]["logprob"]) > 0.02
    dropped = [
        run(
            packed,
            *OPEN,
            "--xtc-probability",
            "1",
            "--xtc-threshold",
            "0.02",
            "--logprobs",
            "0",
            "--seed",
            str(seed),
            tokens=1,
        )
        for seed in range(4)
    ]
    assert greedy["token"] not in [answer["logprobs"][0]["token"] for answer in dropped]


def test_a_bias_forces_a_token_and_forbids_one(packed: Cli) -> None:
    first = run(packed, "--temperature", "0", "--logprobs", "1")["logprobs"][0]["token"]
    forced = run(
        packed, "--temperature", "0", "--logprobs", "0", "--logit-bias", f"{first}=-inf", "--logit-bias", "300=1000"
    )
    assert {entry["token"] for entry in forced["logprobs"]} == {300}
    forbidden = run(packed, "--temperature", "0", "--logprobs", "0", "--logit-bias", f"{first}=-inf")
    assert first not in {entry["token"] for entry in forbidden["logprobs"]}


def test_a_bias_on_a_token_that_the_model_has_not_is_refused(packed: Cli) -> None:
    done = packed.run("run", "tiny-llm", "Once", "--raw", "--logit-bias", "999999=1", status=2)
    assert "999999" in done.stderr
    assert "logit_bias" in done.stderr


@pytest.mark.parametrize("penalty", ["--presence-penalty", "--frequency-penalty"])
def test_what_was_said_is_said_less_likely_again(packed: Cli, penalty: str) -> None:
    greedy = ("--temperature", "0", "--logprobs", "1000")
    said, then = run(packed, *greedy, tokens=2)["logprobs"]
    again = next(each["logprob"] for each in then["top"] if each["token"] == said["token"])
    # Enough for the first token to be the second one too, by 1: a penalty of 2 decides otherwise.
    biased = (*greedy, "--logit-bias", f"{said['token']}={then['top'][0]['logprob'] - again + 1}")
    plain, penalised = (
        [entry["token"] for entry in run(packed, *biased, *more, tokens=2)["logprobs"]]
        for more in ((), (penalty, "2", "--no-penalize-prompt"))
    )
    assert plain == [said["token"]] * 2
    assert penalised[0] == said["token"] != penalised[1]


def test_no_pair_of_tokens_comes_twice_where_dry_forbids_it(packed: Cli) -> None:
    stuck = ("--temperature", "0", "--logit-bias", "300=60", "--logprobs", "0")
    dry = ("--dry-multiplier", "100", "--dry-allowed-length", "1", "--dry-breakers", "~~~")
    plain, penalised = (
        [entry["token"] for entry in run(packed, *stuck, *more, tokens=24)["logprobs"]] for more in ((), dry)
    )
    assert set(plain) == {300}
    pairs = list(itertools.pairwise(penalised))
    assert len(pairs) == len(set(pairs))


def test_the_prompt_counts_unless_it_is_left_out(packed: Cli) -> None:
    options = ("--temperature", "0", "--presence-penalty", "2", "--logprobs", "0")
    prompt = "the the the and and and of of of to to to I I I you you you , , , . . . my my my"
    with_prompt, without = (
        packed.json("run", "tiny-llm", prompt, "--raw", "-n", "24", *options, *more)["text"]
        for more in ((), ("--no-penalize-prompt",))
    )
    assert with_prompt != without


def test_log_probabilities_are_of_every_token_and_sum_to_one(packed: Cli) -> None:
    answer = run(packed, "--seed", "1", "--logprobs", "1000", tokens=6)
    entries = answer["logprobs"]
    assert len(entries) == 6
    assert answer["text"] == "".join(entry["text"] for entry in entries)
    for entry in entries:
        top = [each["logprob"] for each in entry["top"]]
        assert len(top) == 1000
        assert top == sorted(top, reverse=True)
        assert 0.5 < sum(map(math.exp, top)) <= 1.0 + 1e-4
        assert entry["logprob"] == next(each["logprob"] for each in entry["top"] if each["token"] == entry["token"])


def test_log_probabilities_after_the_stages_are_of_what_is_left(packed: Cli) -> None:
    options = ("--top-k", "5", "--top-p", "1", "--min-p", "0", "--temperature", "1", "--seed", "1", "--logprobs", "20")
    for entry in run(packed, *options, "--logprob-scope", "processed")["logprobs"]:
        assert len(entry["top"]) == 5
        assert sum(math.exp(each["logprob"]) for each in entry["top"]) == pytest.approx(1.0, abs=1e-4)
        assert entry["token"] in [each["token"] for each in entry["top"]]


def test_without_the_option_there_are_no_log_probabilities(packed: Cli) -> None:
    assert "logprobs" not in run(packed, tokens=2)


def test_log_probabilities_need_json(cli: Cli) -> None:
    assert "--json" in cli.run("run", "/no/such.gguf", "Hi", "--logprobs", "3", status=2).stderr


def test_an_end_token_ends_unless_it_is_ignored(packed: Cli) -> None:
    end = run(packed, "--temperature", "0", "--logit-bias", f"{END}=1000", "--logprobs", "0")
    assert (end["finish_reason"], [entry["token"] for entry in end["logprobs"]]) == ("stop", [END])
    on = run(packed, "--temperature", "0", "--logit-bias", f"{END}=1000", "--logprobs", "0", "--ignore-eos")
    assert (on["finish_reason"], [entry["token"] for entry in on["logprobs"]]) == ("length", [END] * 12)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--typical-p", "2"), "typical_p"),
        (("--mirostat", "1"), "mirostat"),
        (("--presence-penalty", "nan"), "presence_penalty"),
        (("--logit-bias", "5"), "TOKEN=BIAS"),
        (("--logit-bias", "5=inf"), "logit_bias"),
        (("--dry-breakers", ""), "dry_breakers"),
        (("--order", "alphabetical"), "--order"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_wrong_is_said_before_anything_is_loaded(cli: Cli, options: tuple[str, ...], word: str) -> None:
    assert word in cli.run("run", "/no/such.gguf", "Hi", *options, status=2).stderr
