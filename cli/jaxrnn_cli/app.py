"""The `jaxrnn` command: its subcommands, and the conversion of errors to one line and an exit code.

Help, completion and usage errors are fast because `import jaxrnn` does not import jax.

Exit codes: 0 success, 1 failure at run time, 2 usage error, 3 training diverged, 128 + the number of the signal that
stopped a command, such as 130 for Ctrl-C and 143 for SIGTERM.
"""

import importlib.metadata
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast

import typer

import jaxrnn
from jaxrnn import errors
from jaxrnn_cli.commands import (
    evaluate,
    export,
    finetune,
    gradcheck,
    import_run,
    inspect,
    play,
    plot,
    pretrain,
    sample,
)
from jaxrnn_cli.display import console
from jaxrnn_cli.startup import ending, quiet, signals

PROGRAM = "jaxrnn"
COMMANDS: dict[str, Callable[..., None]] = {
    "pretrain": pretrain.pretrain,
    "finetune": finetune.finetune,
    "sample": sample.sample,
    "evaluate": evaluate.evaluate,
    "inspect": inspect.inspect,
    "plot": plot.plot,
    "play": play.play,
    "export": export.export,
    "import": import_run.import_run,
    "gradcheck": gradcheck.gradcheck,
}

# Base class of typer's usage errors. Its module depends on typer's version.
_UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])


def _print_version(wanted: bool) -> None:
    if wanted:
        try:  # from the metadata, because importing jax takes about 1 s
            jax_version = importlib.metadata.version("jax")
        except importlib.metadata.PackageNotFoundError:
            jax_version = "not installed"
        console.write(f"{PROGRAM} {jaxrnn.__version__} (jax {jax_version})\n")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Train recurrent language models on text, measure and sample them, and verify their gradients."""


app = typer.Typer(
    name=PROGRAM,
    callback=_root,
    rich_markup_mode=None,  # plain help: importing rich takes longer than the rest of --help
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),  # --top_k is --top-k
    },
)
for _name, _function in COMMANDS.items():
    app.command(_name)(_function)
command: Any = typer.main.get_command(app)  # a group; its type also depends on typer's version


def main() -> None:
    """Run the command line and exit the process."""
    if f"_{PROGRAM.upper()}_COMPLETE" in os.environ:  # shell completion
        command.main(prog_name=PROGRAM)
    # The models are small: allocate GPU memory on demand instead of 75% of it at the start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    quiet.quiet_threads()
    signals.interrupt_imports()
    code = run(sys.argv[1:])
    sys.exit(ending.part(code) if ending.are_several() else code)


def run(args: Sequence[str]) -> int:
    """Run one command line, print an error as one line on stderr, and return the exit code."""
    console.use_utf8()
    try:
        with command.make_context(PROGRAM, list(args) or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except _UsageError as error:
        return _fail(_usage_line(error, args), 2)
    except BrokenPipeError:
        console.discard_output()
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Exception as error:
        if not quiet.is_wanted():
            traceback.print_exc()
        return _fail(*_explain(error))
    return 0


def _fail(line: str, code: int) -> int:
    if ending.are_several():
        ending.fail(line, code)
    console.error(line)
    return code


def _explain(error: Exception) -> tuple[str, int]:
    """Return the error message and the exit code."""
    match error:
        case errors.DivergenceError():
            return str(error), 3
        case errors.DownloadError() | errors.SaveError() | errors.JoinError():
            return str(error), 1
        case errors.JaxrnnError():
            return str(error), 2
        case OSError(strerror=str(reason)):
            return f"{error.filename}: {reason}" if error.filename else reason, 1
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "out of memory; try a smaller batch_size, seq_len, model, or number of samples", 1
    if ending.are_several() and (lost := ending.explain_lost(error)):
        return lost, 1
    hint = "set JAXRNN_TRACEBACK=1 to see the traceback"
    return f"unexpected {type(error).__name__}: {console.one_line(str(error))} ({hint})", 1


def _usage_line(error: Any, args: Sequence[str]) -> str:
    """Return the message of a usage error, with the nearest valid name.

    Unknown names get a message of our own, because typer's message and suggestions depend on its version.
    """
    message = console.one_line(error.format_message()).rstrip(".")
    here = next((name for name in args[:1] if name in COMMANDS), None)
    parsed = command.commands[here] if here else command
    if hasattr(error, "possibilities") and hasattr(error, "option_name"):
        options = [name for parameter in parsed.params for name in parameter.opts]
        message = f"no such option {error.option_name}{errors.did_you_mean(error.option_name, options)}"
    elif unknown := re.match(r"No such command '(.*?)'\.", f"{message}."):
        message = f"no such command {unknown[1]}{errors.did_you_mean(unknown[1], COMMANDS)}"
    elif (extra := re.match(r"Got unexpected extra argument\S* \(([^ )]+)", message)) and any(
        "--from" in parameter.opts for parameter in parsed.params
    ):
        message += f"; did you mean --from {extra[1]}?"
    help_command = f"{PROGRAM} {here} --help" if here else f"{PROGRAM} --help"
    return f"{message[:1].lower()}{message[1:]} (see {help_command})"
