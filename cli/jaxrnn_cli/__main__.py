"""The entry point: `jaxrnn`, or `python -m jaxrnn_cli`."""

import signal

from jaxrnn_cli.startup import streams


def main() -> None:
    """Prepare the process before anything else is imported, and run the command line."""
    streams.open_closed()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends an import without a traceback

    from jaxrnn_cli.app import main as run_app

    run_app()


if __name__ == "__main__":
    main()
