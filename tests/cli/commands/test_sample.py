"""`jaxrnn sample`: stdout, stderr and errors."""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jaxrnn import load, score
from jaxrnn.runs.directory import read_config, read_vocabulary
from jaxrnn_cli.display import console

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def sample(jaxrnn, trained: Path):
    """Sample from the trained run with a fixed RNG seed."""

    def run(*args: str):
        return jaxrnn("sample", "--from", trained, "--rng-seed", "7", *args)

    return run


def test_the_prompt_is_echoed_before_the_requested_number_of_characters(sample) -> None:
    code, out, err = sample("--seed", "ROMEO:", "--length", "50")
    assert (code, err) == (0, "")
    assert out.startswith("ROMEO:") and out.endswith("\n")
    assert len(out) == len("ROMEO:") + 50 + 1


def test_defaults_come_from_the_run(sample, trained: Path) -> None:
    out = sample().out
    assert len(out) == 1 + read_config(trained).sample.length + 1
    assert out[0] == "\n"
    assert set(out) <= set(read_vocabulary(trained).characters)


def test_a_random_rng_seed_is_reported_and_reproduces_the_sample(jaxrnn, trained: Path) -> None:
    _, out, err = jaxrnn("sample", "--from", trained, "--length", "100")
    (line,) = err.splitlines()
    rng_seed = line.split("--rng-seed ")[1].split()[0]
    again = ("sample", "--from", trained, "--length", "100", "--rng-seed")
    assert jaxrnn(*again, rng_seed) == (0, out, "")
    assert jaxrnn(*again, f"{int(rng_seed) ^ 1}").out != out


def test_zero_temperature_is_greedy(sample) -> None:
    assert sample("--temperature", "0").out == sample("--top-k", "1").out != sample().out


@pytest.mark.parametrize(
    ("habit", "ours"),
    [
        (["--prompt", "JULIET"], ["--seed", "JULIET"]),
        (["--max-new-tokens", "12"], ["--length", "12"]),
        (["--max_new_tokens", "12"], ["--length=12"]),
        (["--top_k", "3"], ["--top-k", "3"]),
        (["--top_p=0.5"], ["--top-p", "0.5"]),
        (["--num_samples", "2"], ["--num-samples", "2"]),
        (["--on_unknown", "drop"], ["--on-unknown", "drop"]),
    ],
)
def test_option_names_of_other_programs(sample, habit: list[str], ours: list[str]) -> None:
    assert sample(*habit) == sample(*ours)
    assert sample(*habit).code == 0


@pytest.mark.parametrize(
    "rule",
    [["--top-k", "2"], ["--top-p", "0.5"], ["--min-p", "0.9"], ["--repetition-penalty", "1000"]],
    ids=" ".join,
)
def test_every_sampling_option_changes_the_text(sample, rule: list[str]) -> None:
    assert sample(*rule).out != sample().out


def test_several_samples_have_headers_on_stderr(sample) -> None:
    code, out, err = sample("--seed", "ROMEO", "--length", "40", "--num-samples", "3")
    assert code == 0
    assert len(out) == 3 * (len("ROMEO") + 40 + 1)
    texts = [out[i * 46 : (i + 1) * 46] for i in range(3)]
    assert all(text.startswith("ROMEO") and text.endswith("\n") for text in texts)
    assert len(set(texts)) == 3
    assert err.splitlines() == [f"jaxrnn: sample {i} of 3" for i in (1, 2, 3)]
    assert texts[0] == sample("--seed", "ROMEO", "--length", "40").out


def test_each_of_several_samples_ends_at_its_own_stop_text(sample) -> None:
    options = ["--length", "60", "--num-samples", "3", "--seed", "ROMEO"]
    full = sample(*options).out
    texts = [full[i * 66 + 5 : (i + 1) * 66 - 1] for i in range(3)]
    stop = texts[0][2:4]
    expected = "".join(f"ROMEO{text.partition(stop)[0]}\n" for text in texts)
    assert sample(*options, "--stop", stop).out == expected


def test_the_stop_text_may_occur_in_the_prompt(sample) -> None:
    out = sample("--seed", "ROMEO", "--length", "10", "--stop", "ROMEO").out
    assert out.startswith("ROMEO") and len(out) > 6


def test_the_prompt_can_come_from_standard_input(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfROMEO:\r\nsoft"))
    monkeypatch.setattr(sys, "stdin", given)
    assert sample("--seed", "-").out == sample("--seed", "ROMEO:\nsoft").out


def test_standard_input_that_is_not_utf_8_is_refused(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc\xff")))
    assert "byte 0xff at offset 3 is not UTF-8" in sample("--seed", "-").error


def test_the_newest_run_is_the_default_and_named(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, "checkpoints/older")
    shutil.copytree(trained, "checkpoints/newer")
    Path("checkpoints/newer/steps/extra").mkdir()  # updates the time of steps/, as a save does
    Path("checkpoints/newer/steps/extra").rmdir()
    code, _, err = jaxrnn("sample", "--rng-seed", "1")
    assert (code, err) == (0, "jaxrnn: sampling from checkpoints/newer, the newest run\n")


def test_a_character_outside_the_vocabulary_is_named_with_its_position(sample) -> None:
    error = sample("--seed", "RO€MEOé").error
    for words in ("'€' (U+20AC)", "position 2", "1 more", "--on-unknown drop"):
        assert words in error


def test_characters_outside_the_vocabulary_can_be_dropped(sample) -> None:
    code, out, err = sample("--seed", "RO€MEOé", "--on-unknown", "drop", "--length", "20")
    assert (code, out) == (0, sample("--seed", "ROMEO", "--length", "20").out)
    (line,) = err.splitlines()
    assert "'é' (U+00E9)" in line and "'€' (U+20AC)" in line


def test_a_prompt_without_a_known_character_is_refused_even_with_drop(sample) -> None:
    assert "none of the characters" in sample("--seed", "€é", "--on-unknown", "drop").error


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--temperature", "nan"),
        ("--top-p", "0"),
        ("--top-k", "-1"),
        ("--min-p", "1.5"),
        ("--repetition-penalty", "0.5"),
        ("--length", "-1"),
        ("--num-samples", "0"),
        ("--seed", ""),
        ("--stop", "€"),
        ("--from", "nowhere"),
    ],
)
def test_an_invalid_value_is_refused_with_its_option(sample, option: str, value: str) -> None:
    assert (value if option == "--from" else option) in sample(option, value).error


# --no-echo, --json, --seeds, --best-of, --forever.


def test_no_echo_leaves_out_only_the_prompt(sample) -> None:
    options = ("--seed", "ROMEO", "--num-samples", "2")
    full = sample(*options).out
    first, second = full[5:36], full[36 + 5 :]  # which may contain the prompt
    assert sample(*options, "--no-echo").out == first + second


def records(result) -> list[dict[str, Any]]:
    assert (result.code, result.err) == (0, "")
    return [json.loads(line) for line in result.out.splitlines()]


def test_json_has_the_text_and_its_mean_nll(sample, trained: Path) -> None:
    options = ("--seed", "ROMEO", "--num-samples", "2", "--length", "40")
    found = records(sample(*options, "--json"))
    assert "".join(f"{record['prompt']}{record['text']}\n" for record in found) == sample(*options).out
    model = load(trained)
    for record in found:
        assert (record["prompt"], record["tokens"], len(record["text"])) == ("ROMEO", 40, 40)
        scored = score(model, "ROMEO" + record["text"]).nll[-40:]
        assert record["nll"] == pytest.approx(scored.mean(), rel=1e-4)


def test_json_ends_at_the_stop_text(sample) -> None:
    (full,) = records(sample("--seed", "ROMEO", "--length", "40", "--json"))
    (cut,) = records(sample("--seed", "ROMEO", "--length", "40", "--json", "--stop", full["text"][9:11]))
    assert cut["text"] == full["text"].partition(full["text"][9:11])[0]
    assert cut["tokens"] == len(cut["text"])
    (none,) = records(sample("--seed", "ROMEO", "--json", "--stop", full["text"][0]))
    assert (none["text"], none["tokens"], none["nll"]) == ("", 0, None)


def test_each_prompt_of_a_file_equals_a_single_prompt_with_the_next_rng_seed(sample, place: Path) -> None:
    (place / "seeds.txt").write_bytes(b"\xef\xbb\xbfROMEO\r\n\nJULIET:")
    options = ("--num-samples", "2")
    first = sample("--seed", "ROMEO", *options).out
    second = sample("--seed", "JULIET:", "--rng-seed", "8", *options).out
    code, out, err = sample("--seeds", "seeds.txt", *options)
    assert (code, out) == (0, first + second)
    assert err.splitlines() == [f"jaxrnn: sample {i} of 4" for i in (1, 2, 3, 4)]
    found = records(sample("--seeds", "seeds.txt", *options, "--json"))
    assert [record["prompt"] for record in found] == ["ROMEO", "ROMEO", "JULIET:", "JULIET:"]


def test_prompts_can_come_from_standard_input(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ROMEO\nsoft\n")))
    assert [record["prompt"] for record in records(sample("--seeds", "-", "--json"))] == ["ROMEO", "soft"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\n\n", "there is no prompt"),
        (b"ROMEO\n\xff", "byte 0xff at offset 6 is not UTF-8"),
        (
            "ROMEO\n\nR€".encode(),
            "seeds.txt, line 3 can't be read: the vocabulary does not have '€' (U+20AC)",
        ),
    ],
)
def test_a_file_of_prompts_that_can_not_be_read_is_refused(
    sample, place: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (place / "seeds.txt").write_bytes(content)
    error = sample("--seeds", "seeds.txt").error
    assert "seeds.txt" in error and words in error


def test_the_best_of_many_has_the_lowest_nll(sample, place: Path) -> None:
    (place / "seeds.txt").write_text("ROMEO\nJULIET\n")
    candidates = records(sample("--seeds", "seeds.txt", "--num-samples", "6", "--json"))
    groups = [candidates[i : i + 3] for i in range(0, 12, 3)]
    best = [min(group, key=lambda record: record["nll"]) for group in groups]
    options = ("--seeds", "seeds.txt", "--num-samples", "2", "--best-of", "3")
    assert records(sample(*options, "--json")) == best
    assert sample(*options).out == "".join(f"{record['prompt']}{record['text']}\n" for record in best)


def test_a_separator_is_printed_between_samples(sample) -> None:
    options = ("--length", "5", "--seed", "RO", "--num-samples", "3")
    first, second, third = sample(*options).out.splitlines()
    out = sample(*options, "--separator", r"\n--\0\t\\n").out
    assert out == f"{first}\n--\0\t\\n{second}\n--\0\t\\n{third}\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "a", "--seeds", "seeds.txt"],
        ["--forever", "--length", "3"],
        ["--forever", "--num-samples", "2"],
        ["--forever", "--best-of", "2"],
        ["--forever", "--json"],
        ["--forever", "--seeds", "seeds.txt"],
        ["--json", "--no-echo"],
        ["--json", "--separator", "x"],
        ["--json", "--show-probabilities"],
    ],
    ids=" ".join,
)
def test_options_that_exclude_each_other_are_refused(sample, options: list[str]) -> None:
    error = sample(*options).error
    assert all(option in error for option in options if option.startswith("--")) and "not both" in error


def test_too_many_candidates_are_refused(sample) -> None:
    assert "at most 65,536" in sample("--num-samples", "257", "--best-of", "256").error


def test_a_number_as_prompt_suggests_rng_seed(jaxrnn, sample, trained: Path) -> None:
    refused = jaxrnn("sample", "--from", trained, "--seed", "42").error
    assert "'4'" in refused and "did you mean --rng-seed 42?" in refused
    assert "did you mean" not in sample("--seed", "42").error  # an RNG seed is given


def test_forever_ends_when_stdout_is_closed(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write(text: str) -> None:
        if len(written) == 6:
            raise BrokenPipeError
        written.append(text)

    monkeypatch.setattr(console, "write", write)
    monkeypatch.setattr(console, "discard_output", lambda: None)
    handler = signal.getsignal(signal.SIGINT)
    assert sample("--seed", "ROMEO", "--forever") == (0, "", "")
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is handler
    assert "".join(written) + "\n" == sample("--seed", "ROMEO", "--length", str(5 * 128)).out


def test_ctrl_c_ends_forever_quietly_with_exit_code_130(trained: Path) -> None:
    command = [sys.executable, "-m", "jaxrnn_cli", "sample", "--from", str(trained), "--rng-seed", "7"]
    with subprocess.Popen([*command, "--forever"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and len(process.stdout.read(1000)) == 1000
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")


def test_an_unexpanded_escape_is_refused_with_the_shell_syntax(sample) -> None:
    for option in ("--seed", "--stop"):
        assert "in bash, $'\\n' is a newline" in sample(option, "\\n").error


# Colors.

COLOUR = re.compile(r"\x1b\[[\d;]+m")


def test_colors_do_not_change_the_text(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--seed", "ROMEO:", "--length", "200", "--num-samples", "2")
    plain = sample(*options).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, err = sample(*options, "--show-probabilities")
    assert (code, COLOUR.sub("", out)) == (0, plain)
    assert out.startswith("ROMEO:")  # the prompt has no color
    assert "jaxrnn: colors start at 0.5, 1, 2, 4 nats" in err
    assert len(set(COLOUR.findall(out))) >= 3  # two colors and the reset code
    assert not re.search(r"\d;48;5;\d+m\n", out)  # no color continues past the end of a line
    assert sample(*options).out == plain  # no colors without the option


def test_colors_end_with_each_sample(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sample("--length", "300", "--stop", "e").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert COLOUR.sub("", sample("--length", "300", "--stop", "e", "--show-probabilities").out) == plain


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_no_colors_in_a_pipe_or_with_no_color_and_a_note(
    sample, monkeypatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, out, err = sample("--length", "50", "--show-probabilities")
    assert (code, out) == (0, sample("--length", "50").out)
    assert "no colors: " + ("NO_COLOR is set" if variables else "stdout is not a terminal") in err
