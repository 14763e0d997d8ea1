"""Random commands of a soak, valid or invalid, and the faults they meet."""

import random
import shlex
import signal
from typing import NamedTuple

from benchmarks.soak.corpora import RIGHT, WRONG

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
_EARLIEST = 0.3  # seconds in which Python itself starts, which answers a Ctrl-C with a traceback
TRAINING = ("pretrain", "finetune")
_ODD = ["./-odd", "./a b", "./ünï", "./two\nlines", "./%s{}"]
_ANY = frozenset({0, 1, 2, 3})

# By command, options that are right, of which one lot is taken, and wrong, of which one is added.
_RIGHT = {
    "pretrain": "|--dry-run|--quiet|--log-to tensorboard|--set train.num_devices=2",
    "finetune": "|--dry-run|--on-unknown drop|--quiet|--checkpoint last",
    "evaluate": "|--json|--protocol windows|--corpus crlf.txt|--limit 50|--per-character scores.csv"
    "|--memorization --length 50|--compare good",
    "sample": "|--no-echo|--json|--seeds prompts.txt|--best-of 3|--forever|--separator '\\0'"
    "|--seed light --on-unknown drop|--num-samples 3|--temperature 0|--top-k 3|--stop ' '"
    "|--show-probabilities",
    "export": "--format safetensors --overwrite|--format stablehlo --output out.stablehlo",
    "import": "|--format safetensors|--to good --overwrite",
    "inspect": "|--text 'the light'|--sample 20|--file text.txt|--output p.html",
    "gradcheck": "--layer dense|--layer rnn",
    "plot": "|--over tokens|--output curves.svg",
    "play": "--port 0",
    "--help": "",
    "--version": "",
}
_WRONG = {
    "pretrain": "--set train.steps=x|--set train.nothing=1|--resume --overwrite|--log-to nobody"
    "|--set train.batch_size=100000|--set train.num_devices=3",
    "finetune": "--on-unknown what|--checkpoint 999|--set model.layers=1|nowhere.toml",
    "evaluate": "--limit 1|--protocol none|--corpus missing.txt|--window 0|--dynamic-rate 0.1"
    "|--per-character text.txt|--split nothing|good",
    "sample": "--temperature x|--length -1|--seeds missing.txt|--json --no-echo|--forever --length 3"
    "|--seed 'é'|--best-of 0|--top-p 2|--rng-seed -1",
    "export": "--format nothing|--output text.txt|--output no/where|--platform tpu",
    "import": "--format x|--to good|more",
    "inspect": "--text the --sample 3|--file missing.txt|--length 0",
    "gradcheck": "--layer nothing|more",
    "plot": "--output a.gif|--over hours|./missing",
    "play": "--port 70000|--host 0.0.0.0|--token short|--from ./missing",
    "--help": "--version=3",
    "--version": "--nothing",
}
_ALL_RIGHT_FIRST = ("--help", "--version")  # what follows is not looked at


class Command(NamedTuple):
    """One command line, with all that happens to it."""

    number: int
    name: str
    arguments: list[str]
    codes: frozenset[int]  # that it may end with
    copy_to: str = ""  # the run is copied there first,
    flip: float | None = None  # and there a byte flipped: so far into all of them
    redirections: str = ""
    blocks: int | None = None  # no file may be larger, in KiB
    signal: int = 0
    after: float = 0.0  # seconds until the signal

    def line(self, python: str) -> str:
        """Return it for bash."""
        limit = "" if self.blocks is None else f"ulimit -f {self.blocks}; "
        return f"{limit}exec {shlex.join([python, '-m', 'jaxrnn_cli', *self.arguments])} {self.redirections}"


def choose(rng: random.Random, number: int) -> Command:
    """Draw a command and its troubles."""
    name = rng.choice(
        [*_RIGHT, *TRAINING, *TRAINING, "sample"]
    )  # training is where there is something to lose
    kind = rng.choices(["right", "wrong", "odd", "damaged", "missing"], [5, 3, 1, 2, 1])[0]
    if name not in (*TRAINING, "sample", "evaluate", "export", "inspect", "plot", "play"):
        kind = {"odd": "right", "damaged": "wrong", "missing": "wrong"}.get(kind, kind)
    run = {"odd": rng.choice(_ODD), "damaged": "./damaged", "missing": "./missing"}.get(kind, "good")
    arguments = [name, *_operands(rng, name, kind, run), *_options(rng, _RIGHT[name])]
    codes = frozenset({2} if kind in ("wrong", "missing") else {0})
    if kind == "wrong":
        # To overwrite what exists is right.
        arguments = [each for each in arguments if each != "--overwrite"] + _options(rng, _WRONG[name])
    if name in _ALL_RIGHT_FIRST:
        codes = frozenset({0, 2})
    if kind == "missing" and name == "pretrain":
        codes = frozenset({0})  # where it makes a run
    if kind == "damaged":
        codes = _ANY
    command = Command(number, name, arguments, codes)
    if kind in ("odd", "damaged"):
        flip = rng.random() if kind == "damaged" else None
        command = command._replace(copy_to=run, flip=flip)
    return _trouble(rng, command)


def _options(rng: random.Random, lots: str) -> list[str]:
    return shlex.split(rng.choice(lots.split("|")))


def _operands(rng: random.Random, name: str, kind: str, run: str) -> list[str]:
    """Return the required arguments of a command."""
    if name in TRAINING:
        corpus, settings = rng.choice([*RIGHT.items()])
        sets = [part for setting in settings for part in ("--set", setting)]
        if name == "finetune":
            corpus, sets = "crlf.txt", ["--set", f"train.steps={rng.randint(1, 8)}"]
            return ["--from", run, "--corpus", corpus, *sets, "--to", "./tuned"]
        sets += ["--set", f"corpus.text={corpus}"]
        if kind == "right" and rng.random() < 0.5:  # overwrite or resume an existing run
            sets = ["--set", f"train.steps={rng.randint(7, 40)}"]
            return ["tiny.toml", *sets, "--to", "good", rng.choice(["--resume", "--overwrite"])]
        if kind in ("odd", "damaged"):
            return ["tiny.toml", "--to", run, "--set", "train.steps=12", "--resume"]
        return ["tiny.toml", *sets, "--to", "./fresh"]
    if name == "import":
        return ["good.safetensors", "--to", "./imported"]
    if name == "plot":
        return [run]
    return ["--from", run] if name in ("sample", "evaluate", "export", "inspect", "play") else []


def _trouble(rng: random.Random, command: Command) -> Command:
    """Let something happen to it, or nothing."""
    endless = "--forever" in command.arguments or command.name == "play"
    trouble = rng.choice(["nothing", "nothing", "closed", "signal", "signal", "full", "stdout"])
    if trouble == "signal" or endless:
        number = signal.SIGINT if endless else rng.choice(SIGNALS)
        after = rng.uniform(4, 12) if endless else rng.uniform(_EARLIEST if number == signal.SIGINT else 0, 9)
        command = command._replace(signal=number, after=after, codes=command.codes | {0, 128 + number})
    if trouble == "closed":
        closed = rng.randint(1, 7)
        redirections = [text for bit, text in enumerate(("<&-", ">&-", "2>&-")) if closed >> bit & 1]
        command = command._replace(redirections=" ".join(redirections))
    if trouble == "full":
        blocks = rng.choice([0, 1, 2, 4, 16])
        command = command._replace(blocks=blocks, codes=command.codes | {0, 1})
    if trouble == "stdout":
        command = command._replace(redirections=">/dev/full", codes=command.codes | {1})
    return command


def choose_wrong_corpus(rng: random.Random, number: int) -> Command:
    """Draw a training run on an invalid corpus."""
    corpus, settings = rng.choice([*WRONG.items()])
    arguments = ["pretrain", "tiny.toml", "--to", "./fresh", "--set", f"corpus.text={corpus}"]
    for setting in settings:
        arguments += ["--set", setting]
    return _trouble(rng, Command(number, "pretrain", arguments, frozenset({2})))
