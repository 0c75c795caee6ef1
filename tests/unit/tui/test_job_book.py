"""Jobs as the terminal shows them."""

from __future__ import annotations

from typing import Any

import pytest

from edgellm.api.jobs import Job, JobChanges, JobError, JobPhase
from edgellm.api.orders import CreateOrder, ExportOrder, ImportOrder, Order, PackOrder, PullOrder, VerifyOrder
from edgellm.tui.models.job_book import JobBook
from edgellm.tui.models.job_details import job_lines
from edgellm.tui.models.job_order import kind_of, subject_of
from edgellm.tui.models.job_rows import can_cancel, can_forget, can_resume, can_save, job_row

NOW_S = 1_795_693_689.0


def job(number: int, order: Order | None = None, **fields: Any) -> Job:
    return Job(id=f"20261126-1148{number:02d}-56{number:04x}", order=order or VerifyOrder(), created=NOW_S, **fields)


@pytest.mark.parametrize(
    ("order", "kind", "subject"),
    [
        (PullOrder(model="acme/tiny:Q4_K_M"), "pull", "acme/tiny:Q4_K_M"),
        (PackOrder(files={"b.gguf": "sha256:0", "a.json": "sha256:1"}), "pack", "b.gguf"),
        (PackOrder(model="acme/tiny", devices=["raspberrypi5"]), "pack", "acme/tiny"),
        (VerifyOrder(), "verify", "every bundle"),
        (VerifyOrder(name="tiny:a"), "verify", "tiny:a"),
        (ExportOrder(names=["a:1", "b:1", "c:1"]), "export", "a:1 and 2 more"),
        (ImportOrder(blob="sha256:0123456789abcdef"), "import", "sha256:0123456789ab"),
        (CreateOrder(name="pirate", base="tiny"), "create", "pirate from tiny"),
        (VerifyOrder(name="tiny\x1b[31m\nx"), "verify", "tiny\\x1b[31m x"),
    ],
)
def test_an_order_in_words(order: Order, kind: str, subject: str) -> None:
    assert (kind_of(order), subject_of(order)) == (kind, subject)


def test_what_runs_comes_first_then_the_queue_then_the_newest_that_ended() -> None:
    book = JobBook()
    jobs = [
        job(1, state="done", started=NOW_S - 9, ended=NOW_S),
        job(
            2, state="failed", error=JobError("NotFoundError", "there is no bundle x", "look at the list"), ended=NOW_S
        ),
        job(3, state="running", started=NOW_S, phase="downloading", done_bytes=25, total_bytes=100),
        job(4),
        job(5),
    ]
    book.take(JobChanges(jobs, is_whole=True), 0.0)
    rows = book.rows(NOW_S)
    assert [row.id for row in rows] == [jobs[place].id for place in (2, 3, 4, 1, 0)]
    assert [row.progress for row in rows] == [
        "25 % downloading",
        "after 1 other",
        "after 2 others",
        "there is no bundle x",
        "in 9.0 s",
    ]
    assert rows[0].share == 0.25
    assert book.summary() == "2 queued, 1 running, 1 done, 1 failed"


def test_speed_and_time_left_come_from_what_was_seen() -> None:
    book, running = JobBook(), job(1, state="running", started=NOW_S, phase="downloading", total_bytes=100 << 20)
    for second in range(5):
        running.done_bytes = second * (2 << 20)
        book.take(JobChanges([running]), float(second))
    (row,) = book.rows(NOW_S)
    assert (row.speed, row.left) == ("2.0 MiB/s", "46 s")
    assert "46 s left" in " ".join(line.text for line in job_lines(running, NOW_S, book.meter(running.id)))
    running.phase, running.done_bytes = "checking", 0
    book.take(JobChanges([running]), 6.0)
    (row,) = book.rows(NOW_S)
    assert (row.speed, row.left) == ("", "")


def test_a_phase_without_a_size_has_bytes_and_no_end() -> None:
    row = job_row(job(1, state="running", started=NOW_S, phase="unpacking", done_bytes=3 << 20), NOW_S)
    assert (row.progress, row.share, row.left) == ("3.0 MiB unpacking", None, "")


def test_a_job_that_was_forgotten_is_gone_and_a_whole_list_replaces_all() -> None:
    book, first, second = JobBook(), job(1), job(2)
    book.take(JobChanges([first, second], is_whole=True), 0.0)
    book.take(JobChanges([], [first.id]), 1.0)
    assert [row.id for row in book.rows(NOW_S)] == [second.id]
    book.take(JobChanges([first], is_whole=True), 2.0)
    assert [row.id for row in book.rows(NOW_S)] == [first.id]
    assert book.is_working
    book.take(JobChanges([], [first.id]), 3.0)
    assert not book.is_working
    assert "No jobs yet" in book.summary()


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        ("queued", (True, False, False)),
        ("running", (True, False, False)),
        ("done", (False, False, True)),
        ("failed", (False, True, True)),
        ("cancelled", (False, True, True)),
        ("interrupted", (False, True, True)),
    ],
)
def test_what_may_be_done_with_a_job(state: Any, allowed: tuple[bool, bool, bool]) -> None:
    one = job(1, state=state)
    assert (can_cancel(one), can_resume(one), can_forget(one)) == allowed
    assert not can_save(one)
    assert can_save(job(1, ExportOrder(names=["a"]), state=state)) == (state == "done")


def test_a_failed_job_says_first_why_and_what_to_do() -> None:
    failed = job(
        1,
        PullOrder(model="acme/tiny", quant="Q8_0"),
        state="failed",
        started=NOW_S - 100,
        ended=NOW_S,
        attempts=2,
        phases=[JobPhase("downloading", NOW_S - 100, NOW_S - 10, 5 << 20)],
        messages=["checking\x07 the file"],
        error=JobError("IntegrityError", "the digest differs", "pull it again"),
    )
    lines = job_lines(failed, NOW_S)
    assert [(line.name, line.text) for line in lines[1:3]] == [
        ("failed", "the digest differs"),
        ("next", "pull it again"),
    ]
    texts = [line.text for line in lines]
    assert "downloading: 5.0 MiB in 1:30 min" in texts
    assert any(text.endswith("(attempt 2)") for text in texts)
    assert ("quant", "Q8_0") in [(line.name, line.text) for line in lines]
    assert "checking\\x07 the file" in texts


def test_the_result_is_shown_as_words() -> None:
    done = job(1, state="done", started=NOW_S, ended=NOW_S, result=[{"name": "a:b", "size_bytes": 2048, "files": []}])
    assert "name a:b, size_bytes 2.0 KiB" in [line.text for line in job_lines(done, NOW_S)]
