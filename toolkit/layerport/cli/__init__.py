"""The command line. One file a verb; each is imported when it is used."""

from __future__ import annotations

import importlib
import io
import sys
from types import MappingProxyType
from typing import Any

import click

from layerport import __version__

VERBS = MappingProxyType(
    {
        "convert": "Carry a model from one file to another, and prove it.",
        "inspect": "Show what a model file holds.",
        "verify": "Compare what two model files compute.",
        "predict": "Run a model on an input file.",
        "train": "Train a model on arrays.",
        "evaluate": "Measure a model on arrays.",
        "formats": "List the formats and target languages.",
        "layers": "List the layers.",
        "ops": "List the operators.",
        "plugins": "List the installed plugins.",
        "demo": "Convert the model that comes with layerport to every format.",
    }
)

PASSED, FAILED, WRONG_USAGE, REFUSED, UNSUPPORTED = range(5)
"""Exit codes; click has 2 for wrong usage, too."""

BUG = 70
"""The exit code after an error that nobody foresaw (EX_SOFTWARE of sysexits.h)."""


class Verbs(click.Group):
    """The verbs, found by name, so that ``--help`` imports none of them and loads no plugin."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in VERBS:
            return _load(cmd_name)
        from layerport.registry import default_registry

        command: click.Command | None = default_registry().commands.get(cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"there is no verb {args[0]!r}{_hint(args[0])}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def _hint(verb: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(verb, VERBS, n=2)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _load(verb: str) -> click.Command:
    command: click.Command = importlib.import_module(f"layerport.cli.{verb}").command
    return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="layerport")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(debug: bool) -> None:
    """Train a neural network in any language, run it in any other.

    Exit codes: 0 done; 1 the verification failed, or --strict met a loss; 2 wrong usage;
    3 the file was refused; 4 something is unsupported.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    given = sys.argv[1:] if arguments is None else arguments
    if "--debug" in given:
        given = ["--debug", *(word for word in given if word != "--debug")]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name must not fail for lack of a letter
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(given))


def _run(arguments: list[str]) -> int:
    try:
        result: Any = app.main(arguments, prog_name="layerport", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return 130
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _report(error)
    return result if isinstance(result, int) else PASSED


def _report(error: Exception) -> int:
    """Say what went wrong, in a paragraph on stderr; returns the exit code."""
    from layerport.cli.common import say

    code = _exit_code(error)
    if code == BUG:
        kind = type(error).__name__
        say(
            f"layerport: a mistake of layerport itself ({kind}: {error}); "
            "run again with --debug to see where, and please report it",
            err=True,
        )
    elif isinstance(error, OSError) and error.filename is not None:
        say(f"layerport: {error.filename}: {error.strerror}", err=True)
    else:
        say(f"layerport: {error}", err=True)
    return code


def _exit_code(error: Exception) -> int:
    from layerport.errors import (
        DivergenceError,
        LayerportError,
        ModelFileError,
        UnsupportedError,
    )
    from layerport.format import LossError
    from layerport.verification import VerificationError

    if isinstance(error, (LossError, VerificationError, DivergenceError)):
        return FAILED
    if isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)):
        return WRONG_USAGE
    if isinstance(error, (ModelFileError, OSError)):
        return REFUSED
    if isinstance(error, UnsupportedError):
        return UNSUPPORTED
    return WRONG_USAGE if isinstance(error, LayerportError) else BUG
