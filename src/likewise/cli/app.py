"""Putting the verbs together, and turning every failure into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import typer

from likewise import __version__
from likewise.cli import encode, evaluate, geometry, index, methods, mine, quickstart, search, split, study, train, use
from likewise.cli.help import Verbs
from likewise.cli.output import fail
from likewise.errors import LikewiseError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 could not be done, 2 wrongly asked, 130 interrupted.

    Args:
        arguments: Words behind ``likewise``; those of the process where not given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = _repeat_columns([word for word in words if word != "--debug"])
    if not debug:
        warnings.simplefilter("ignore")  # libraries' notes to programmers; --debug shows them
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    raise SystemExit(_run(words, debug))


def _run(words: list[str], debug: bool) -> int:
    try:
        code = _build(words)(args=words, prog_name="likewise", standalone_mode=False)
    except KeyboardInterrupt:
        return fail("interrupted.", code=130)
    except LikewiseError as error:
        if debug:
            traceback.print_exc()
        return fail(str(error), code=130 if type(error).__name__ == "Interrupted" else 1)
    except BrokenPipeError:
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        usage = getattr(error, "format_message", None)
        if usage is not None:  # the parser's own: an unknown option, a missing argument
            said = " ".join(usage().split()).removesuffix(".").replace("Value error, ", "")  # the validator's word
            end = "" if said.endswith("?") else "."
            return fail(f"{said}{end} See `{_where(error, words)} --help`.", code=2)
        message = " ".join(str(error).split()) or type(error).__name__
        own = isinstance(error, ValueError | TypeError)
        return fail(message if own else f"{type(error).__name__}: {message} (--debug shows where)", code=1)
    return code if isinstance(code, int) else 0


def _where(error: Exception, words: Sequence[str]) -> str:
    """Return the command whose help answers a usage error; the options of ``use`` are those of a model's product."""
    context = getattr(error, "ctx", None)
    path = str(getattr(context, "command_path", None) or "likewise")
    named = words[1:3] if words[:1] == ["use"] and not any(word.startswith("-") for word in words[1:3]) else []
    return " ".join([path, *named])


def _build(words: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        name="likewise",
        help="Contrastive representation learning on your own data: train, measure, search.",
        epilog="Start with: likewise quickstart. Every verb has --help, --json, and --debug (shows tracebacks).",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        cls=Verbs,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )

    @app.callback(invoke_without_command=True)
    def version(show: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
        if show:
            sys.stdout.write(f"likewise {__version__}\n")
            raise typer.Exit

    for verb in (quickstart, methods, encode):
        verb.register(app)
    evaluate.register(app, words)
    for verb in (geometry, mine, split, study, index, search):
        verb.register(app)
    use.register(app, words)
    train.register(app, words)
    return app


def _repeat_columns(words: Sequence[str]) -> list[str]:
    """Let one ``--columns`` take several pairs: ``--columns a=b c=d`` is ``--columns a=b --columns c=d``."""
    spread: list[str] = []
    position = 0
    while position < len(words):
        spread.append(words[position])
        position += 1
        if spread[-1] == "--columns":
            while position + 1 < len(words) and not words[position + 1].startswith("-") and "=" in words[position + 1]:
                spread += [words[position], "--columns"]
                position += 1
    return spread
