"""`jaxrnn play`: a local web page to write with a trained model."""

import ipaddress
import socket
from typing import Annotated

import typer

import jaxrnn
from jaxrnn.errors import SaveError
from jaxrnn_cli.display import console
from jaxrnn_cli.display.checkpoint import note_checkpoint
from jaxrnn_cli.options.names import FromRun, OfCheckpoint
from jaxrnn_cli.options.numbers import integer
from jaxrnn_cli.startup.devices import Platform, start_jax

_LOOPBACK = ["127.0.0.1", "localhost", "[::1]", "::1"]
_SHORTEST_TOKEN = 16


def play(
    run: FromRun = None,
    checkpoint: OfCheckpoint = "best",
    port: Annotated[
        int, typer.Option(metavar="N", parser=integer(0, 65_535), help="The port; 0: any free port.")
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="The address to listen on; any other than loopback needs --token."
        ),
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar="JAXRNN_PLAY_TOKEN",
            help=f"A secret of at least {_SHORTEST_TOKEN} letters and digits, part of the URL and required in every "
            "request.",
        ),
    ] = None,
    platform: Platform = None,
) -> None:
    """Write with a trained model in a browser.

    Type a prompt, watch the model continue it, see the alternatives at each position, and branch from there. Without
    --host, only this machine can open the page. Ctrl-C stops the server. Needs starlette and uvicorn:
    pip install 'jaxrnn[play]'.
    """
    if token is not None and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isalnum()):
        raise typer.BadParameter(
            f"must be at least {_SHORTEST_TOKEN} letters and digits", param_hint="'--token'"
        )
    if token is None and not _is_loopback(host):
        problem = f"other machines can reach {host}; give --token as well"
        raise typer.BadParameter(problem, param_hint="'--host'")

    try:
        import uvicorn

        from jaxrnn.play.server import Impatient, make_app
    except ImportError:
        raise SaveError(
            "starlette or uvicorn is missing; pip install 'jaxrnn[play]', or in a clone -e '.[play]'"
        ) from None

    found = jaxrnn.runs.find_run(run)
    if run is None:
        console.note(f"playing {found}, the newest run")
    start_jax(platform)
    hosts = [*_LOOPBACK, host] if _is_loopback(host) else ["*"]  # the token protects
    note_checkpoint(found, checkpoint)
    app = make_app(jaxrnn.load(found, checkpoint), hosts, token)
    with _listen(host, port) as listening:
        address = f"[{host}]" if ":" in host else host
        secret = f"#token={token}" if token else ""
        console.note(f"http://{address}:{listening.getsockname()[1]}/{secret} until Ctrl-C")
        settings = uvicorn.Config(
            app,
            http=Impatient,
            ws="none",
            log_level="error",  # no lines for requests
            access_log=False,
            lifespan="off",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
            limit_concurrency=256,
            server_header=False,
        )
        uvicorn.Server(settings).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the address; uvicorn would log an error instead of raising it.

    Raises:
        typer.BadParameter: The address does not exist or is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        problem = f"{host} can't be resolved: {getattr(error, 'strerror', None) or 'not a host name'}"
        raise typer.BadParameter(problem, param_hint="'--host'") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()  # from here on, requests wait instead of being refused
    except OSError as error:
        listening.close()
        problem = f"can't listen on {host}, port {port}: {error.strerror}; --port 0 takes any free port"
        raise typer.BadParameter(problem, param_hint="'--port'") from None
    return listening
