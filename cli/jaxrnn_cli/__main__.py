"""Entry point of `jaxrnn` and `python -m jaxrnn_cli`."""

import signal

from jaxrnn_cli.startup import streams


def main() -> None:
    """Prepare streams and signals before the other imports, then run the command line."""
    streams.open_closed()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during an import prints no traceback

    from jaxrnn_cli.app import main as run_app

    run_app()


if __name__ == "__main__":
    main()
