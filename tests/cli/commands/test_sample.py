"""`jaxrnn sample`: what goes to stdout, what to stderr, and what is refused."""

import io
import re
import shutil
import sys
from pathlib import Path

import pytest

from jaxrnn.runs.directory import read_config, read_vocabulary

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def sample(jaxrnn, trained: Path):
    """Samples from the trained run, with a fixed seed of randomness."""

    def run(*args: str):
        return jaxrnn("sample", "--from", trained, "--rng-seed", "7", *args)

    return run


def test_the_seed_is_echoed_then_come_exactly_the_characters_asked_for(sample) -> None:
    code, out, err = sample("--seed", "ROMEO:", "--length", "50")
    assert (code, err) == (0, "")
    assert out.startswith("ROMEO:") and out.endswith("\n")
    assert len(out) == len("ROMEO:") + 50 + 1


def test_without_options_the_run_says_what_to_do(sample, trained: Path) -> None:
    out = sample().out
    assert len(out) == 1 + read_config(trained).sample.length + 1
    assert out[0] == "\n"
    assert set(out) <= set(read_vocabulary(trained).characters)


def test_a_random_rng_seed_is_told_and_writes_the_text_again(jaxrnn, trained: Path) -> None:
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
def test_old_habits_work(sample, habit: list[str], ours: list[str]) -> None:
    assert sample(*habit) == sample(*ours)
    assert sample(*habit).code == 0


@pytest.mark.parametrize(
    "rule",
    [["--top-k", "2"], ["--top-p", "0.5"], ["--min-p", "0.9"], ["--repetition-penalty", "1000"]],
    ids=" ".join,
)
def test_every_rule_changes_the_text(sample, rule: list[str]) -> None:
    assert sample(*rule).out != sample().out


def test_many_samples_come_one_after_the_other_with_their_heads_on_stderr(sample) -> None:
    code, out, err = sample("--seed", "ROMEO", "--length", "40", "--num-samples", "3")
    assert code == 0
    assert len(out) == 3 * (len("ROMEO") + 40 + 1)
    texts = [out[i * 46 : (i + 1) * 46] for i in range(3)]
    assert all(text.startswith("ROMEO") and text.endswith("\n") for text in texts)
    assert len(set(texts)) == 3
    assert err.splitlines() == [f"jaxrnn: sample {i} of 3" for i in (1, 2, 3)]
    assert texts[0] == sample("--seed", "ROMEO", "--length", "40").out


def test_each_of_many_samples_has_its_own_end(sample) -> None:
    options = ["--length", "60", "--num-samples", "3", "--seed", "ROMEO"]
    full = sample(*options).out
    texts = [full[i * 66 + 5 : (i + 1) * 66 - 1] for i in range(3)]
    stop = texts[0][2:4]
    expected = "".join(f"ROMEO{text.partition(stop)[0]}\n" for text in texts)
    assert sample(*options, "--stop", stop).out == expected


def test_the_stop_text_may_stand_in_the_seed(sample) -> None:
    out = sample("--seed", "ROMEO", "--length", "10", "--stop", "ROMEO").out
    assert out.startswith("ROMEO") and len(out) > 6


def test_the_seed_can_come_from_standard_input(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfROMEO:\r\nsoft"))
    monkeypatch.setattr(sys, "stdin", given)
    assert sample("--seed", "-").out == sample("--seed", "ROMEO:\nsoft").out


def test_standard_input_that_is_not_utf_8_is_refused(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc\xff")))
    assert "byte 0xff at offset 3 is not UTF-8" in sample("--seed", "-").error


def test_without_from_the_newest_run_is_taken_and_named(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, "checkpoints/older")
    shutil.copytree(trained, "checkpoints/newer")
    Path("checkpoints/newer/steps/extra").mkdir()  # touches steps/, as a save does
    Path("checkpoints/newer/steps/extra").rmdir()
    code, _, err = jaxrnn("sample", "--rng-seed", "1")
    assert (code, err) == (0, "jaxrnn: sampling from checkpoints/newer, the newest run\n")


def test_an_unseen_character_is_named_with_its_position(sample) -> None:
    error = sample("--seed", "RO€MEOé").error
    for words in ("'€' (U+20AC)", "position 2", "1 more", "--on-unknown drop"):
        assert words in error


def test_unseen_characters_can_be_dropped(sample) -> None:
    code, out, err = sample("--seed", "RO€MEOé", "--on-unknown", "drop", "--length", "20")
    assert (code, out) == (0, sample("--seed", "ROMEO", "--length", "20").out)
    (line,) = err.splitlines()
    assert "'é' (U+00E9)" in line and "'€' (U+20AC)" in line


def test_a_seed_of_nothing_but_unseen_characters_is_refused_even_then(sample) -> None:
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
def test_a_value_that_can_not_be_is_refused_by_its_option(sample, option: str, value: str) -> None:
    assert (value if option == "--from" else option) in sample(option, value).error


def test_an_escape_that_the_shell_did_not_read_says_how_to_write_it(sample) -> None:
    for option in ("--seed", "--stop"):
        assert "in bash, $'\\n' is a newline" in sample(option, "\\n").error


# Colours.

COLOUR = re.compile(r"\x1b\[(?:0|38;5;\d+;48;5;\d+)m")


def test_colours_change_nothing_but_colours(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--seed", "ROMEO:", "--length", "200", "--num-samples", "2")
    plain = sample(*options).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, err = sample(*options, "--show-probabilities")
    assert (code, COLOUR.sub("", out)) == (0, plain)
    assert out.startswith("ROMEO:")  # the seed surprises nobody
    assert "jaxrnn: nats from 0.5, 1, 2, 4 on" in err
    assert len(set(COLOUR.findall(out))) >= 3  # two colours and their end
    assert not re.search(r"\d;48;5;\d+m\n", out)  # no colour lasts over the end of a line
    assert sample(*options).out == plain  # and without the option there are none


def test_colours_keep_to_where_a_sample_stops(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sample("--length", "300", "--stop", "e").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert COLOUR.sub("", sample("--length", "300", "--stop", "e", "--show-probabilities").out) == plain


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_a_pipe_and_no_color_stay_plain_and_it_is_said(
    sample, monkeypatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, out, err = sample("--length", "50", "--show-probabilities")
    assert (code, out) == (0, sample("--length", "50").out)
    assert "no colors: " + ("NO_COLOR is set" if variables else "stdout is no terminal") in err
