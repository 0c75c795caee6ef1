"""A child process says what the native code was built for, also when that code ends it."""

from __future__ import annotations

import sys

import pytest

from edgellm_runtimes.build_probe import probe_build

CHILD = "import os, signal, sys\nsys.stdout.write({said!r})\nsys.stdout.flush()\n{end}"


def child(said: str, end: str) -> list[str]:
    return [sys.executable, "-c", CHILD.format(said=said, end=end)]


def test_the_installed_code_runs_here() -> None:
    report = probe_build(["edgellm_runtimes._native"])
    assert [(step.name, step.error) for step in report.steps] == [
        ("edgellm_runtimes._native", ""),
        ("llama.cpp", ""),
        ("kernels", ""),
    ]
    assert report.features


def test_an_illegal_instruction_belongs_to_the_step_that_ran() -> None:
    said = '{"step": "llama.cpp"}\n{"features": ["avx2"]}\n'
    report = probe_build(command=child(said, "os.kill(os.getpid(), signal.SIGILL)"))
    step = report.step("llama.cpp")
    assert step is not None
    assert (step.signal, step.error) == ("SIGILL", "it ended the process")
    assert report.features == ("avx2",)


def test_a_child_that_dies_before_its_first_word_is_reported() -> None:
    report = probe_build(command=child("", "os.kill(os.getpid(), signal.SIGSEGV)"))
    assert [(step.name, step.signal) for step in report.steps] == [("llama.cpp", "SIGSEGV")]


def test_a_child_that_hangs_is_given_up() -> None:
    report = probe_build(command=child('{"step": "kernels"}\n', "signal.pause()"), timeout_s=0.5)
    step = report.steps[0]
    assert "did not end" in step.error
    assert step.signal == ""


def test_a_module_that_is_missing_is_an_error_of_its_step_alone() -> None:
    report = probe_build(["edgellm_runtimes.no_such_module"])
    assert [bool(step.error) for step in report.steps] == [True, False, False]


@pytest.mark.parametrize("said", ["not json\n", '{"step": 5}\n[]\n\x00', '{"features": ["a", 1]}\n'])
def test_what_is_not_a_line_of_the_child_is_skipped(said: str) -> None:
    report = probe_build(command=child(said, "sys.exit(3)"))
    assert [step.error for step in report.steps] == ["the process ended with status 3"]


def test_a_program_that_cannot_be_started_is_reported() -> None:
    report = probe_build(command=["/nonexistent/python"])
    assert "cannot be started" in report.steps[0].error
