"""The command line: every command is one module that parses, calls and prints, loaded when it is called.

Data goes to stdout, everything else to stderr. Exit code 0: done; 1: it failed; 2: it was called wrongly.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from malles import __version__
from malles.errors import MallesError, UsageError


@dataclass(frozen=True)
class Entry:
    """Where a command lives, and the line that `malles --help` shows for it without loading it."""

    module: str
    attribute: str
    """A function (one command) or a `typer.Typer` (a group of commands)."""
    help: str


COMMANDS = {
    "demo": Entry("demo", "demo_command", "The whole road on real data, ending in scores and a report."),
    "import": Entry("import_", "import_command", "Check order lines and other tables into a data set."),
    "data": Entry("data", "data_app", "Data sets: list them, add one."),
    "fit": Entry("fit", "fit_command", "Fit one model."),
    "run": Entry("run", "run_command", "The whole road for a configuration, resumable."),
    "predict": Entry(
        "predict", "predict_command", "Score any table of choice occasions with a fitted model."
    ),
    "evaluate": Entry("evaluate", "evaluate_command", "Held-out scores of a run beside every baseline."),
    "simulate": Entry("simulate", "simulate_command", "A what-if on the market of a run."),
    "plan": Entry("plan", "plan_command", "The best prices and displays for a goal, under constraints."),
    "draft": Entry("draft", "draft_command", "An order file from a table of past orders."),
    "negotiate": Entry("negotiate", "negotiate_command", "An order: arithmetic, and roles that discuss it."),
    "distil": Entry("distil", "distil_command", "A discussion put into one call."),
    "rules": Entry("rules", "rules_command", "Short formulas for the decisions of a run."),
    "query": Entry("query", "query_command", "SQL over everything a run used, drew and found; read-only."),
    "models": Entry("models", "models_app", "Language models: fetch one, list them, check one."),
    "bench": Entry("bench", "bench_app", "Yardsticks, measured on this machine."),
    "runs": Entry("runs", "runs_app", "Runs: list them, show one, resume one."),
}
"""Every command by name, in the order of the help page."""


class LazyCommand(TyperCommand):
    """Stands in for a command on the help page; becomes the real one when it is called."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help)
        self.entry = entry

    def load(self) -> Any:
        """The real command."""
        return load_command(self.name or "", self.entry)

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Load the real command and let it read its own arguments."""
        return self.load().make_context(info_name, args, *rest, **extra)


class Commands(TyperGroup):
    """The commands whose modules are installed, by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of `COMMANDS`."""
        return [name for name, entry in COMMANDS.items() if _exists(entry)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in for the command, or None."""
        entry = COMMANDS.get(cmd_name)
        return LazyCommand(cmd_name, entry) if entry is not None and _exists(entry) else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names."""
        if args and args[0] not in self.list_commands(ctx):
            from malles.errors import did_you_mean

            hint = did_you_mean(args[0], self.list_commands(ctx)) or "See malles --help."
            raise UsageError(f"There is no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="malles",
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(*, value: bool) -> None:
    if value:
        typer.echo(f"malles {__version__}")
        raise typer.Exit


@app.callback()
def malles(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Show where an error came from."),
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and end.",
        is_eager=True,
        callback=lambda v: _print_version(value=v),
    ),
) -> None:
    """Learn from transactions how people and firms buy, and rehearse a decision on a simulated market."""


def load_command(name: str, entry: Entry) -> Any:
    """Import the module of a command and make the command from its function or its Typer."""
    found = getattr(importlib.import_module(f"malles.cli.{entry.module}"), entry.attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
        single.command(name, help=found.__doc__ or entry.help)(found)
        found = single
    else:
        found._add_completion = False
    command = typer.main.get_command(found)
    command.name = name
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code, and says in one sentence what went wrong."""
    verbose = any(a in {"-v", "--verbose"} for a in arguments)
    try:
        command = typer.main.get_command(app)
        with command.make_context("malles", list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, for example `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.Exit as end:
        return int(end.exit_code)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (KeyboardInterrupt, typer.Abort) as stopped:
        notes = getattr(stopped, "__notes__", ["Nothing is left in part."])
        return _say(f"Stopped. {notes[0]}", 1)
    except Exception as problem:
        if verbose:
            traceback.print_exc()
        return _explain(problem, verbose=verbose)
    return 0


def _explain(problem: Exception, *, verbose: bool) -> int:
    """One sentence for any failure, and its exit code."""
    from malles.store import storage_sentence

    if isinstance(problem, MallesError):
        return _say(str(problem), problem.exit_code)
    if hasattr(problem, "format_message") and hasattr(problem, "exit_code"):  # typer's own: called wrongly
        context = getattr(problem, "ctx", None)
        if not problem.format_message():  # no arguments: the help page was printed
            return int(problem.exit_code)
        usage = f" {context.get_usage()}." if context is not None else ""
        return _say(f"{problem.format_message().rstrip('.')}.{usage}", int(problem.exit_code))
    full = storage_sentence(problem, getattr(problem, "filename", None) or "the run folder")
    if full is not None:
        return _say(full, 1)
    if isinstance(problem, FileNotFoundError):
        return _say(_missing(str(problem.filename)), 1)
    if isinstance(problem, NotADirectoryError | IsADirectoryError) and problem.filename is not None:
        return _say(f"{problem.filename} cannot be used ({problem.strerror}). Check the path.", 1)
    if isinstance(problem, MemoryError):
        return _say("The memory of this machine is used up; take a smaller sample.", 1)
    more = "" if verbose else " This is a fault of malles; call it with -v to see where."
    return _say(f"{type(problem).__name__}: {problem}.{more}", 1)


def _missing(path: str) -> str:
    """What a path that is not there means: the file, or already its folder."""
    folder = Path(path).parent
    if not folder.is_dir():
        return f"There is no folder {folder} for {path}. Make it first, or check the path."
    return f"There is no file {path}."


def _say(sentence: str, code: int) -> int:
    print(f"malles: {sentence}", file=sys.stderr)
    return code


def _exists(entry: Entry) -> bool:
    return importlib.util.find_spec(f"malles.cli.{entry.module}") is not None
