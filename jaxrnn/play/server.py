"""A page to write with a model, served to whoever sits at this machine. Needs the extra `[play]`.

    GET  /        the page; /play.css, /play.js and /shared.js belong to it
    GET  /model   the model: its name, layers, units, and the characters it knows
    POST /write   text goes in as JSON, characters come back as server-sent events

A model of bytes writes bytes: in JSON each is its character in ASCII, or from 128 on the lone surrogate U+DC80 to
U+DCFF that stands for it; so go back those that a text is to contain unchanged.

Everything that a request can ask for is bounded: its body, the text, the length, how many write at once and for how
long. A request is refused that comes from a page of another origin, or that names this server by another host than it
was told to be (DNS rebinding); where there is a token, also one that lacks it. No response allows another origin to
read it.
"""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from functools import cache, partial
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from jaxrnn.data.vocabulary import Vocabulary, decode, describe_character, unknown_characters
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.play.writing import Block, Writer, prepare, recurrent_layers, write
from jaxrnn.sampling.generation import prompt_ids

LONGEST_BODY = 64 * 1024  # bytes
LONGEST_TEXT = 10_000  # characters
LONGEST_ANSWER = 2_000  # characters
MOST_WRITERS = 64  # requests that write at the same time
LONGEST_TIME = 120.0  # seconds that an answer may take
LONGEST_WAIT = 5.0  # seconds for a request to come, once there is a connection

PAGE = {  # the files by path, and their types
    "/": ("jaxrnn.play", "play.html", "text/html"),
    "/play.css": ("jaxrnn.play", "play.css", "text/css"),
    "/play.js": ("jaxrnn.play", "play.js", "text/javascript"),
    "/shared.js": ("jaxrnn.inspection", "shared.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Asked(NamedTuple):
    """The validated parameters of a request."""

    ids: np.ndarray  # of the prompt
    options: dict[str, Any]  # the other arguments of `writing.write`


def make_app(model: LanguageModel, hosts: list[str], token: str | None = None) -> Starlette:
    """Return the application.

    Args:
        model: the model that writes.
        hosts: the names by which browsers may call this server, without a port; "*" is any.
        token: what `/model` and `/write` want to see as a bearer token; None where only this machine can ask.
    """
    writer = prepare(model.config, model.params, model.vocabulary.separator_id)
    layers = recurrent_layers(model.config, model.params)
    places = asyncio.Semaphore(MOST_WRITERS)

    async def describe_model(request: Request) -> Response:
        _check_caller(request, token)
        return JSONResponse(describe(model, layers), headers=_HEADERS)

    async def write_text(request: Request) -> Response:
        _check_caller(request, token)
        asked = read_request(await _read_json(request), model.vocabulary)
        if places.locked():
            raise HTTPException(503, "too many are writing; try again in a moment", {"Retry-After": "1"})
        await places.acquire()
        return _Stream(_events(writer, model.vocabulary, asked), places)

    return Starlette(
        routes=[
            *(Route(path, partial(_page, *PAGE[path])) for path in PAGE),
            Route("/model", describe_model),
            Route("/write", write_text, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={HTTPException: _refuse},
    )


def describe(model: LanguageModel, layers: tuple[int, ...]) -> dict[str, Any]:
    """Return the description of a model for the page."""
    return {
        "name": model.name,
        "tokens": model.vocabulary.tokens,
        "characters": model.vocabulary.characters,
        "layers": [f"{index}: {model.config.layers[index].type}" for index in layers],
        "beginning": decode(model.vocabulary, prompt_ids(model.vocabulary, "\n")),  # without a prompt
        "longest_text": LONGEST_TEXT,
        "longest_answer": LONGEST_ANSWER,
    }


class _Stream(StreamingResponse):
    """Server-sent events that hold one of the places of those who write, until the end or until the client goes."""

    def __init__(self, events: AsyncIterator[str], places: asyncio.Semaphore) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except ClientDisconnect:
            pass
        finally:
            self._places.release()


async def _events(writer: Writer, vocabulary: Vocabulary, asked: Asked) -> AsyncIterator[str]:
    """Yield one event for each block of characters, and one at the end with the reason for it."""
    blocks = write(writer, asked.ids, **asked.options)
    end = time.monotonic() + LONGEST_TIME
    while (block := await run_in_threadpool(next, blocks, None)) is not None:
        yield f"data: {json.dumps(_as_event(block, vocabulary))}\n\n"
        if time.monotonic() > end:
            yield 'event: done\ndata: "time is up"\n\n'
            return
    yield 'event: done\ndata: ""\n\n'


@cache
def _names(vocabulary: Vocabulary) -> list[str]:
    """Return what each id is in JSON."""
    return [decode(vocabulary, [token]) for token in range(vocabulary.size)]


def _as_event(block: Block, vocabulary: Vocabulary) -> dict[str, Any]:
    characters = _names(vocabulary)
    rows = zip(block.ids, block.nll, block.likeliest, block.probabilities, strict=True)
    # Of each layer a byte for each unit, 0 for -1 or less and 254 for 1 or more, character after character.
    layers = block.states or (np.zeros((len(block.ids), 1)),)  # an mLSTM alone has none
    units = (np.rint(127 * (1 + np.clip(states, -1, 1))).astype(np.uint8) for states in layers)
    return {
        "characters": [
            {
                "character": characters[token],
                "nats": round(float(nats), 3),
                "alternatives": [
                    [characters[other], float(f"{p:.3g}")] for other, p in zip(ids, ps, strict=True)
                ],
            }
            for token, nats, ids, ps in rows
        ],
        "units": [base64.b64encode(of_layer.tobytes()).decode() for of_layer in units],
    }


# What comes in.


def read_request(body: object, vocabulary: Vocabulary) -> Asked:
    """Check what `/write` was sent.

    Raises:
        HTTPException: 422, with the reason.
    """
    if not isinstance(body, dict):
        raise HTTPException(422, "the body must be a JSON object")
    limits: dict[str, tuple[type, float, float, float]] = {  # type, default, least, most
        "length": (int, 200, 1, LONGEST_ANSWER),
        "temperature": (float, 0.8, 0, 1000),
        "top_k": (int, 0, 0, 0x110000),
        "top_p": (float, 1.0, 1e-6, 1),
        "rng_seed": (int, 0, 0, 2**32 - 1),
    }
    if unknown := sorted(set(body) - set(limits) - {"text"}):
        raise HTTPException(422, f"unknown key {unknown[0][:100]!r}; there are text, {', '.join(limits)}")
    text = body.get("text")
    if not isinstance(text, str) or not 1 <= len(text) <= LONGEST_TEXT:
        raise HTTPException(422, f"text must be 1 to {LONGEST_TEXT:,} characters")
    if missing := next(iter(unknown_characters(vocabulary, text)), None):
        position, character = missing
        lacks = f"the model does not know {describe_character(character)}"
        raise HTTPException(422, f"{lacks}, character {position} of the text")
    values: dict[str, Any] = {}
    for name, (kind, default, least, most) in limits.items():
        value = body.get(name, default)
        accepted = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted) or not least <= value <= most:
            raise HTTPException(422, f"{name} must be a number from {least:g} to {most:g}")
        values[name] = kind(value)
    return Asked(prompt_ids(vocabulary, text), values)


async def _read_json(request: Request) -> object:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the body must be application/json")
    body = b""
    try:
        async with asyncio.timeout(LONGEST_WAIT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_BODY:
                    raise HTTPException(413, f"the body must be at most {LONGEST_BODY:,} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the body must come within {LONGEST_WAIT:g} seconds") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body is not complete") from None  # which nobody reads
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None


def _check_caller(request: Request, token: str | None) -> None:
    """Refuse a page of another origin, and one without the token where there is one.

    Raises:
        HTTPException: 403 or 401.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "none")
    is_ours = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if not is_ours or site not in ("same-origin", "none"):
        raise HTTPException(403, "a page of another origin may not ask")
    given = request.headers.get("authorization", "").encode()
    if token is not None and not hmac.compare_digest(given, f"Bearer {token}".encode()):
        raise HTTPException(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})


# What goes out.


async def _page(package: str, name: str, kind: str, _request: Request) -> Response:
    text = resources.files(package).joinpath(name).read_bytes()
    return Response(text, media_type=kind, headers=_HEADERS)


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, {**_HEADERS, **(error.headers or {})})


class Impatient(H11Protocol):
    """HTTP that gives every request of a connection, and every answer, a time, so that none can take others' places.

    The timer starts anew where a request is complete but for its body, and where its answer is. The connection is
    aborted, not closed: closing waits for a client that does not read.
    """

    _answering: object = None  # the request that is answered; None where one is waited for

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(LONGEST_WAIT, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._restart_timer()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._restart_timer()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the timer."""
        super().connection_lost(error)
        self._timer.cancel()

    def _restart_timer(self) -> None:
        cycle = getattr(self, "cycle", None)
        answering = None if cycle is None or cycle.response_complete else cycle
        if answering is not self._answering:
            self._answering = answering
            self._timer.cancel()
            seconds = LONGEST_WAIT if answering is None else LONGEST_TIME + 2 * LONGEST_WAIT
            self._timer = self.loop.call_later(seconds, self.transport.abort)
