"""A profile of a few training steps, for xprof and TensorBoard."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from jaxrnn.errors import SaveError

STEPS = 10  # that a profile contains, at most


def prepare_profile(folder: Path) -> None:
    """Create the folder of a profile.

    Raises:
        SaveError: It can't be written.
    """
    try:
        (folder / "plugins" / "profile").mkdir(parents=True, exist_ok=True)  # as JAX calls it
    except OSError as error:
        raise SaveError(f"{folder}: no profile can be written there: {error.strerror}") from error


@contextmanager
def profiling(folder: Path) -> Iterator[None]:
    """Write a profile of what runs in this context, with operations under the names of their layers: `1_lstm`.

    Raises:
        SaveError: It can't be written.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # the calls of Python would be most of it
    jax.profiler.start_trace(folder, profiler_options=options)
    try:
        yield
    finally:
        try:
            jax.profiler.stop_trace()  # type: ignore[no-untyped-call]
        except jax.errors.JaxRuntimeError as error:
            raise SaveError(
                f"{folder}: the profile can't be written: {str(error).splitlines()[0]}"
            ) from error
