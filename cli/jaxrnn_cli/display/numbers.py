"""Formatting of durations, sizes and losses."""

TOKEN = {"characters": "char", "bytes": "byte"}  # short names in units


def format_seconds(seconds: float) -> str:
    """Return a duration as `0:42`, `12:05` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_bytes(count: float) -> str:
    """Return a size in bytes as `512 B`, `3.4 MB` or `1.2 GB`, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def format_loss(nats: float, bits: float, tokens: str) -> str:
    """Return a loss in nats and bits; `tokens` is a key of `TOKEN`."""
    return f"{nats:.4f} nats ({bits:.3f} bits/{TOKEN[tokens]})"
