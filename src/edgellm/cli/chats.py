"""edgellm chats"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgellm.cli.context import json_option, yes_option

if TYPE_CHECKING:
    from edgellm.tui.chat.conversations import Conversations

__all__ = ["command"]


@click.group("chats")
def command() -> None:
    """List, search, show, export and delete the conversations of `chat`.

    CONVERSATION is an id, a number of `edgellm chats list`, a title or a part of that.
    """


@command.command("list")
@json_option
def show_list(as_json: bool) -> None:
    """List the conversations, the one that was used last first."""
    import time

    from edgellm.cli.console import print_json, print_message, print_table, printable

    summaries = _conversations().summaries()
    if as_json:
        print_json(summaries)
        return
    if not summaries:
        print_message("no conversations are kept: `edgellm chat NAME` begins one")
        return
    rows = [
        [
            str(number),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(each.changed)),
            str(each.messages),
            printable(each.model),
            printable(each.title or "(draft)"),
            each.id,
        ]
        for number, each in enumerate(summaries, 1)
    ]
    print_table(["#", "USED", "MESSAGES", "MODEL", "TITLE", "ID"], rows, right=(0, 2))


@command.command("search")
@click.argument("text")
@json_option
def find(text: str, as_json: bool) -> None:
    """Find TEXT in titles, messages and names of attached files, whatever its case."""
    from edgellm.cli.console import print_json, print_message, printable
    from edgellm.tui.chat.search import search

    found = list(search(_conversations(), text))
    if as_json:
        print_json([{"id": each.summary.id, "title": each.summary.title, "excerpt": each.excerpt} for each in found])
        return
    for each in found:
        click.echo(f"{each.summary.id}  {printable(each.summary.title)}\n    {printable(each.excerpt)}")
    if not found:
        print_message("nothing was found")


@command.command("show")
@click.argument("conversation")
@json_option
def show(conversation: str, as_json: bool) -> None:
    """Print a conversation as Markdown, or with --json with everything that is known of each message."""
    from edgellm.cli.console import printable
    from edgellm.tui.chat.export import as_json as json_of
    from edgellm.tui.chat.export import as_markdown

    kept = _conversations()
    opened = kept.open(kept.find(conversation), read_only=True)
    click.echo(json_of(opened) if as_json else printable(as_markdown(opened)), nl=False)
    opened.close()


@command.command("export")
@click.argument("conversation")
@click.argument("file", metavar="FILE.md|FILE.json")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def export(conversation: str, file: str, force: bool) -> None:
    """Write a conversation to a file."""
    from edgellm.cli.console import print_message
    from edgellm.paths import user_path
    from edgellm.tui.chat.export import export_file

    kept = _conversations()
    opened = kept.open(kept.find(conversation), read_only=True)
    export_file(opened, user_path(file), overwrite=force)
    opened.close()
    print_message(f"{opened.title}: {len(opened)} messages in {file}")


@command.command("rename")
@click.argument("conversation")
@click.argument("title")
def rename(conversation: str, title: str) -> None:
    """Give a conversation another title."""
    kept = _conversations()
    opened = kept.open(kept.find(conversation))
    opened.set(title=title)
    opened.close()
    if opened.problem is not None:
        raise opened.problem


@command.command("rm")
@click.argument("conversations", metavar="CONVERSATION...", nargs=-1, required=True)
@yes_option
def remove(conversations: tuple[str, ...], yes: bool) -> None:
    """Delete conversations."""
    from edgellm.cli.console import print_message

    kept = _conversations()
    titles = {each.id: each.title for each in kept.summaries()}
    ids = [kept.find(name) for name in conversations]
    for id in dict.fromkeys(ids):
        if yes or _confirmed(f"delete {titles.get(id, id)!r}?"):
            kept.delete(id)
            print_message(f"{titles.get(id, id)} is deleted")


@command.command("purge")
@yes_option
def purge(yes: bool) -> None:
    """Delete every conversation, everything that was typed and not sent, and saved presets."""
    from edgellm.cli.console import print_message
    from edgellm.cli.context import user_settings
    from edgellm.tui.chat.opening import preset_path

    kept = _conversations()
    if yes or _confirmed(f"delete all {len(kept.summaries())} conversations?"):
        count = kept.purge()
        print_message("1 conversation is deleted" if count == 1 else f"{count} conversations are deleted")
        preset_path(user_settings().paths.state).unlink(missing_ok=True)


def _conversations() -> Conversations:
    from edgellm.cli.context import user_settings
    from edgellm.tui.chat.conversations import Conversations

    return Conversations(user_settings().paths.conversations)


def _confirmed(question: str) -> bool:
    import sys

    from edgellm.errors import UsageError

    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", hint="add --yes")
    return click.confirm(question, err=True)
