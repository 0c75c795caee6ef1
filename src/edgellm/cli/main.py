"""Entry point: a click group that knows every command's help line but imports a command only when it is called."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO, cast

import click

from edgellm.errors import EdgeLLMError
from edgellm.version import __version__

if TYPE_CHECKING:
    from edgellm.cli.streams import WatchedOutput

__all__ = ["COMMANDS", "cli", "main"]

# name -> (module, help line); the help line is the first line of the command's own help, which a test checks.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("edgellm.cli.init", "Write a commented edgellm.toml for a model project."),
    "pack": ("edgellm.cli.pack", "Turn a checkpoint or GGUF into a bundle made for one device."),
    "pull": ("edgellm.cli.pull", "Fetch a model from a hub and make it ready for this machine."),
    "run": ("edgellm.cli.run", "Answer a prompt with a packed model, or talk to it."),
    "chat": ("edgellm.cli.chat", "Talk to a packed model."),
    "chats": ("edgellm.cli.chats", "List, search, show, export and delete the conversations of `chat`."),
    "serve": ("edgellm.cli.serve", "Answer requests of apps over HTTP, as OpenAI, Ollama and Anthropic do."),
    "tui": ("edgellm.cli.tui", "Manage models, jobs and chats of this machine in the terminal."),
    "ps": ("edgellm.cli.ps", "Show the servers that run, and the models that they have loaded."),
    "stop": ("edgellm.cli.stop", "Unload a model from the servers that run, or end the servers."),
    "key": ("edgellm.cli.key", "Make, list and revoke the API keys of `serve`."),
    "embed": ("edgellm.cli.embed", "Turn texts into vectors with a packed model."),
    "fit": ("edgellm.cli.fit", "Show what fits on a device, how fast, and what `pack` would take."),
    "bench": ("edgellm.cli.bench", "Measure bundles on this machine: load time, prompt, answers, memory."),
    "list": ("edgellm.cli.list", "List the bundles in the store."),
    "show": ("edgellm.cli.show", "Show one bundle: plan, memory, speed, source, licence."),
    "rm": ("edgellm.cli.rm", "Remove bundles from the store."),
    "cp": ("edgellm.cli.cp", "Give a bundle a second name."),
    "create": (
        "edgellm.cli.create",
        "Make a bundle from another one, with a system prompt, parameters or adapters of its own.",
    ),
    "export": ("edgellm.cli.export", "Write bundles to an archive, a folder or a pipe, to be imported elsewhere."),
    "import": ("edgellm.cli.import_", "Take bundles from an archive, a folder or a pipe into the store."),
    "verify": ("edgellm.cli.verify", "Read every byte of the bundles and compare the digests."),
    "gc": ("edgellm.cli.gc", "Free the space that no bundle uses."),
    "df": ("edgellm.cli.df", "Show what edgellm keeps on the disks, and what can be freed."),
    "cache": ("edgellm.cli.cache", "List or remove the prompts whose state is kept on the disk."),
    "devices": ("edgellm.cli.devices", "Detect this machine, list the device profiles, or show one."),
    "doctor": ("edgellm.cli.doctor", "Check that this machine is ready, with one fix for each finding."),
    "config": ("edgellm.cli.config", "Show the settings in force and where each comes from."),
    "version": ("edgellm.cli.version", "Print the versions of edgellm and its runtime."),
}
ALIASES = {"ls": "list"}


class LazyGroup(click.Group):
    """A group whose commands are imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        command = importlib.import_module(entry[0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=3)
            if not near:
                raise
            meant = " or ".join(f"'{name}'" for name in near)
            raise click.UsageError(f"{error.message} Did you mean {meant}?", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings: flag, then EDGELLM_* variable, then --config, ~/.config/edgellm, /etc/edgellm. "
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 does not fit, 5 integrity, 130 interrupted.",
)
@click.version_option(__version__, "--version", prog_name="edgellm", message="%(prog)s %(version)s")
@click.option("--config", "config_file", type=click.Path(dir_okay=False), help="Read settings from this file too.")
@click.pass_context
def cli(ctx: click.Context, config_file: str | None) -> None:
    """Pack language models for small devices and run them there."""
    ctx.obj = {"config_file": config_file}
    if ctx.invoked_subcommand is None:
        if not on_terminal():
            raise click.exceptions.NoArgsIsHelpError(ctx)
        from edgellm.cli.tui import command

        ctx.invoke(command)


def on_terminal() -> bool:
    """True where a person sits before a terminal that can show a screen."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)  # Textual draws on stderr
    return os.environ.get("TERM", "dumb") != "dumb" and all(each is not None and each.isatty() for each in streams)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. Errors of our tree become two lines on stderr."""
    from edgellm.cli.streams import WatchedOutput, forget_output, open_closed_streams

    open_closed_streams()
    stdout = sys.stdout
    output = WatchedOutput(stdout)
    sys.stdout = cast("TextIO", output)
    try:
        status = _run(arguments, output)
        if output.failure is None:
            with contextlib.suppress(OSError):
                output.flush()
    finally:
        sys.stdout = stdout
    if output.failure is None:
        return status
    forget_output()
    if isinstance(output.failure, BrokenPipeError):  # the reader of our output went away (`edgellm list | head`)
        return status
    _say(f"cannot write to standard output: {output.failure.strerror}", "send the output to another place")
    return status or 1


def _run(arguments: Sequence[str] | None, output: WatchedOutput) -> int:
    # What a terminal cannot show ends no program: "?" in what models say, and in messages, which name things, escapes.
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=errors)
    try:
        result = cli.main(args=arguments, prog_name="edgellm", standalone_mode=False)
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        from edgellm.cli.event_lines import events_wanted

        if events_wanted():
            _say(error.format_message(), None, "UsageError")
        else:
            error.show()
        return error.exit_code
    except SystemExit:  # how click ends when a reader has gone away
        if output.failure is None:
            raise
        return 0
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted", None, "Interrupted")
        return 130
    except EdgeLLMError as error:
        if os.environ.get("EDGELLM_DEBUG") == "1":
            raise
        _say(error.message, error.hint, type(error).__name__)
        return error.exit_code
    except OSError as error:
        if error is output.failure:
            return 0  # the caller says it
        if os.environ.get("EDGELLM_DEBUG") == "1":
            raise
        from edgellm.files import translate_os_error

        known = translate_os_error(error, "finish")
        _say(known.message, known.hint, type(known).__name__)
        return known.exit_code
    except MemoryError:
        _say("out of memory", "close other programs, or take a smaller model, context or recipe")
        return 1
    except Exception as error:
        if os.environ.get("EDGELLM_DEBUG") == "1":
            raise
        _say(f"internal error: {type(error).__name__}: {error}", "EDGELLM_DEBUG=1 shows where; please report it")
        return 1
    return result if isinstance(result, int) else 0


def _say(message: str, hint: str | None, kind: str = "EdgeLLMError") -> None:
    from edgellm.cli.console import print_error

    print_error(message, hint, kind)


if __name__ == "__main__":
    main()
