"""The chat page in a real browser: headless Chromium over a real server."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import oracle_tools
import pytest

from server_process import RunningServer, running_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

pytestmark = pytest.mark.oracle

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SCREENSHOT = os.environ.get("EDGELLM_SCREENSHOT")  # read now: tests run without our variables
_PHONE = {"width": 360, "height": 700}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        oracle_tools.missing("needs Chromium: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=program, args=options)
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own that has never been anywhere."""
    made = browser.new_context()
    made.set_default_timeout(30_000)
    yield made
    made.close()


def _is_complaint(message: ConsoleMessage) -> bool:
    """An error of the page's own: Chromium also notes every refusal of a server."""
    return message.type == "error" and "the server responded with a status" not in message.text


@pytest.fixture
def page(context: BrowserContext, server: RunningServer) -> Iterator[Page]:
    """The page, whose every request must go to the server, and that must have nothing to complain about."""
    made = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    made.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("request", lambda request: asked.append(request.url))
    made.goto(server.url + "/")
    made.wait_for_selector("#model option", state="attached")
    yield made
    assert complaints == []
    assert [url for url in asked if not url.startswith(server.url)] == []


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def wait_for_answers(page: Page, count: int) -> None:
    """Until so many answers are on the page, all of them whole."""
    page.locator(".turn.assistant .under").nth(count - 1).wait_for()
    page.wait_for_selector("#stop", state="hidden")


def set_option(page: Page, name: str, value: str) -> None:
    page.click("#settings")
    page.locator(f"#options [name={name}]").fill(value)
    page.click("#options button[value=save]")


def rendered(page: Page, source: str) -> Any:
    """The HTML that ``source`` becomes."""
    script = """async (source) => {
        const { renderBlock, splitBlocks } = await import("/page/markdown.js");
        const box = document.createElement("div");
        box.append(...splitBlocks(source).map((block) => renderBlock(block)));
        return box.innerHTML;
    }"""
    return page.evaluate(script, source)


def test_an_answer_is_streamed_and_can_be_asked_for_again(page: Page) -> None:
    set_option(page, "max_tokens", "12")
    say(page, "Hello there")
    page.wait_for_selector(".turn.assistant .under")
    assert page.inner_text(".turn.user .body") == "Hello there"
    assert page.inner_text(".turn.assistant .body")
    assert "12 tokens" in page.inner_text(".under .facts")
    first = page.locator(".turn.assistant").element_handle()
    page.click("text=Again")
    wait_for_answers(page, 1)
    assert page.locator(".turn.assistant").count() == 1
    assert first is not None
    assert not first.evaluate("(turn) => turn.isConnected")


def test_stop_ends_an_answer_and_the_next_one_works(page: Page) -> None:
    set_option(page, "max_tokens", "400")
    say(page, "Tell me a long story")
    page.wait_for_selector(".turn.assistant .body > *")
    page.click("#stop")
    page.wait_for_selector(".turn.assistant .under")
    assert "stopped" in page.inner_text(".under .facts")
    assert page.is_visible("#send")
    set_option(page, "max_tokens", "4")
    say(page, "And now?")
    wait_for_answers(page, 2)


def test_a_chat_outlives_a_reload_and_ends_with_new(page: Page) -> None:
    set_option(page, "max_tokens", "4")
    say(page, "Remember me")
    page.wait_for_selector(".turn.assistant .under")
    page.reload()
    page.wait_for_selector(".turn.user")
    assert page.inner_text(".turn.user .body") == "Remember me"
    page.click("#new")
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    assert page.locator(".turn").count() == 0


def test_an_error_of_the_server_is_shown(page: Page) -> None:
    set_option(page, "system", "word " * 2000)
    say(page, "Hello")
    page.wait_for_selector("#notice:not([hidden])")
    assert "context" in page.inner_text("#notice")


def begin_with(page: Page, *said: str) -> None:
    """Show a chat in which these things were said."""
    turns = [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(said)]
    page.evaluate("(turns) => sessionStorage.setItem('edgellm-chat', turns)", json.dumps(turns))
    page.reload()
    page.wait_for_selector("#model option", state="attached")


def test_exchanges_that_no_longer_fit_are_left_out_and_it_is_said(page: Page) -> None:
    begin_with(page, "one", "word " * 300, "two", "word " * 300)
    set_option(page, "max_tokens", "4")
    sent: list[list[dict[str, str]]] = []
    page.on("request", lambda asked: sent.append(asked.post_data_json["messages"]) if asked.method == "POST" else None)
    say(page, "three")
    wait_for_answers(page, 3)
    assert page.is_hidden("#notice")
    assert [len(messages) for messages in sent] == [5, 3]
    assert [each["content"] for each in sent[1]][::2] == ["two", "three"]
    left_out = page.locator(".left-out")
    assert left_out.inner_text() == "The model has not read the 2 messages above: its context has no room for them."
    assert left_out.evaluate("(line) => line.nextElementSibling.innerText") == "two"
    say(page, "four")
    wait_for_answers(page, 4)
    assert [each["content"] for each in sent[2]][::2] == ["two", "three", "four"]
    assert left_out.count() == 1
    page.click("#new")
    assert left_out.count() == 0


def test_a_message_that_alone_is_too_long_goes_back_to_where_it_was_typed(page: Page) -> None:
    set_option(page, "max_tokens", "4")
    long = ("word " * 900).strip()
    say(page, long)
    page.wait_for_selector("#notice:not([hidden])")
    assert page.inner_text("#notice").startswith("This message alone is too long: the prompt has ")
    assert page.locator(".turn").count() == 0
    assert page.input_value("#text") == long
    say(page, "Hello")
    wait_for_answers(page, 1)


def test_after_an_answer_that_filled_the_context_fewer_messages_are_sent(page: Page) -> None:
    counts = page.evaluate(
        """async () => {
            const { contextIsFull, sent } = await import("/page/window.js");
            const turns = ["user", "assistant", "user", "assistant", "user"].map((role) => ({ role }));
            const counts = [sent(turns).length];
            contextIsFull();
            return [...counts, sent(turns).length, sent(turns).length, sent(turns.slice(0, 1)).length];
        }"""
    )
    assert counts == [5, 3, 3, 1]


def test_a_server_that_is_gone_is_said_and_the_message_is_kept(
    context: BrowserContext, packed_home: Path, tmp_path: Path
) -> None:
    with running_server(packed_home, tmp_path / "log") as running:
        page = context.new_page()
        page.goto(running.url + "/")
        page.wait_for_selector("#model option", state="attached")
        running.process.kill()
        running.process.wait()
        say(page, "Hello")
        page.wait_for_selector("#notice:not([hidden])")
        assert "The server does not answer. Start it again (edgellm serve)" in page.inner_text("#notice")
        assert page.locator(".turn").count() == 0
        assert page.input_value("#text") == "Hello"


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("# Title", "<h1>Title</h1>"),
        ("a **b** *c* `d` ~~e~~", "<p>a <strong>b</strong> <em>c</em> <code>d</code> <del>e</del></p>"),
        ("snake_case_name and 2 * 3 * 4", "<p>snake_case_name and 2 * 3 * 4</p>"),
        ("- one\n- two", "<ul><li>one</li><li>two</li></ul>"),
        ("3. three\n4. four", '<ol start="3"><li>three</li><li>four</li></ol>'),
        ("- one\n  - inner", "<ul><li>one<ul><li>inner</li></ul></li></ul>"),
        ("> quoted", "<blockquote><p>quoted</p></blockquote>"),
        ("---", "<hr>"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<td>1</td>"),
        ("```python\nprint('<b>')\n```", "print('&lt;b&gt;')"),
        ("[x](https://a.example/b)", 'href="https://a.example/b"'),
    ],
)
def test_markdown_becomes_what_it_means(page: Page, source: str, html: str) -> None:
    assert html in rendered(page, source)


@pytest.mark.parametrize(
    "source",
    [
        "<script>window.hacked = 1</script>",
        "<img src=x onerror='window.hacked = 1'>",
        "[x](javascript:window.hacked=1)",
        "[x](data:text/html,<script>window.hacked=1</script>)",
        "![x](https://evil.example/pixel.png)",
        "<a href='javascript:window.hacked=1'>x</a>",
        "`<svg onload=window.hacked=1>`",
        "| <iframe src=javascript:window.hacked=1> |\n|---|",
    ],
)
def test_a_model_cannot_put_html_into_the_page(page: Page, source: str) -> None:
    found = page.evaluate(
        """async (source) => {
            const { renderBlock, splitBlocks } = await import("/page/markdown.js");
            const box = document.createElement("div");
            box.append(...splitBlocks(source).map((block) => renderBlock(block)));
            document.body.append(box);
            const bad = box.querySelectorAll("script, img, svg, iframe, object, [onerror], [onload], [style]").length;
            const links = [...box.querySelectorAll("a")].filter((a) => !/^(https?|mailto):/.test(a.protocol)).length;
            box.remove();
            return [bad, links, window.hacked === undefined];
        }""",
        source,
    )
    assert found == [0, 0, True]


def test_markdown_of_any_shape_takes_linear_time(page: Page) -> None:
    for hostile in ("*" * 20_000, "[" * 20_000, "`" * 20_000 + "x", "> " * 5_000, "- " * 5_000, "**a" * 7_000):
        assert len(rendered(page, hostile)) > 0


def test_the_page_fits_a_phone(browser: Browser, server: RunningServer) -> None:
    context = browser.new_context(viewport=_PHONE, has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(server.url + "/")
    page.wait_for_selector("#model option", state="attached")
    set_option(page, "max_tokens", "8")
    say(page, "x" * 300)
    page.wait_for_selector(".turn.assistant .under")
    assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"]
    for name in ("#text", "#send", "#model", "#new", "#settings"):
        box = page.locator(name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= _PHONE["width"]
        assert box["y"] + box["height"] <= _PHONE["height"]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_the_choice(browser: Browser, server: RunningServer, scheme: Any) -> None:
    from playwright.sync_api import expect

    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(server.url + "/")

    def wait_until(scheme: str) -> None:
        body = expect(page.locator("body"))
        (body.not_to_have_css if scheme == "dark" else body.to_have_css)("background-color", "rgb(255, 255, 255)")

    wait_until(scheme)
    other = "light" if scheme == "dark" else "dark"
    page.click("#settings")
    page.select_option("#options [name=theme]", other)
    page.click("#options button[value=save]")
    wait_until(other)
    page.reload()
    wait_until(other)
    context.close()


def test_a_screenshot_for_the_guide(context: BrowserContext, server: RunningServer, tmp_path: Path) -> None:
    """EDGELLM_SCREENSHOT names the file that docs/guides/web-page.md shows."""
    page = context.new_page()
    page.set_viewport_size({"width": 900, "height": 640})
    page.goto(server.url + "/")
    page.wait_for_selector("#model option", state="attached")
    set_option(page, "max_tokens", "60")
    say(page, "Tell me about the weather in April.")
    page.wait_for_selector(".turn.assistant .under")
    target = Path(_SCREENSHOT) if _SCREENSHOT else tmp_path / "page.png"
    page.screenshot(path=target)
    assert target.read_bytes().startswith(b"\x89PNG")
