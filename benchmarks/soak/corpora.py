"""The folder that every command of a soak starts from: corpora of all kinds, a config, and a trained run."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

CONFIG = """
[corpus]
text = "text.txt"

[model]
layers = [{ type = "embedding", size = 8 }, { type = "gru", size = 8 }, { type = "dense" }]

[train]
steps = 6
batch_size = 4
seq_len = 8
eval_every = 3
save_every = 2
sample_every = 3

[sample]
length = 20
prompt = "the"
"""
# By name of a corpus: the settings that it is read with.
RIGHT = {
    "text.txt": [],
    "bytes.bin": ["corpus.tokens=bytes"],
    "crlf.txt": [],
    "text.txt.gz": [],
    "table.csv": ["corpus.field=text"],
    "lines.jsonl": ["corpus.field=text"],
    "latin.txt": ["corpus.encoding=latin-1"],
    "folder": [],
}
WRONG = {
    "empty.txt": [],
    "one.txt": [],
    "latin.txt": [],
    "missing.txt": [],
    "empty_folder": [],
    "lines.jsonl": ["corpus.field=nowhere"],
    "broken.txt.gz": [],
}
RUN = Path("checkpoints/good")  # has good checkpoints
_WORDS = ["the", "light", "through", "yonder", "window", "breaks", "soft", "what", "is", "east"]


def make_corpora(folder: Path, rng: random.Random) -> None:
    """Write the corpora, prompts and the config."""
    text = "\n".join(" ".join(rng.choices(_WORDS, k=8)) for _ in range(80)) + "\n"
    lines = text.splitlines()
    contents = {
        "text.txt": text.encode(),
        "bytes.bin": text.encode() + rng.randbytes(2000),
        "crlf.txt": text.replace("\n", "\r\n").encode(),
        "text.txt.gz": gzip.compress(text.encode(), mtime=0),
        "broken.txt.gz": gzip.compress(text.encode(), mtime=0)[:-20],
        "table.csv": "".join(f"{line}\n" for line in ["text", *lines]).encode(),
        "lines.jsonl": "".join(json.dumps({"text": line}) + "\n" for line in lines).encode(),
        "latin.txt": (text + "é").encode("latin-1"),
        "empty.txt": b"",
        "one.txt": b"a",
        "folder/part.txt": text.encode(),
        "prompts.txt": b"the\nwhat is\n",
        "tiny.toml": CONFIG.encode(),
        "broken.toml": b"[corpus\n",
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "empty_folder").mkdir()


def make_run(folder: Path) -> None:
    """Train the run, and export it."""
    for arguments in (
        ["pretrain", "tiny.toml", "--to", f"./{RUN}"],
        ["export", "--from", f"./{RUN}", "--format", "safetensors", "--output", "good.safetensors"],
    ):
        subprocess.run([sys.executable, "-m", "jaxrnn_cli", *arguments], cwd=folder, check=True)
