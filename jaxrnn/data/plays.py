r"""Conversion of plays from Markdown to plain dialogue, the format of tiny shakespeare.

    ### SCENE II. A street.                     (dropped)

    **ROMEO**                                   ROMEO:
    _\[Aside]_                                  Shall I hear more, or shall I speak at this?
    Shall I hear more, or shall I speak at this?
                                                JULIET:
    **JULIET**                                  'Tis but thy name that is my enemy;
    'Tis but thy name that is my enemy;

A play is a sequence of paragraphs, separated by blank lines. Each is a heading, a stage direction in underscores or
asterisks, a speech under the speaker's name, or the rest of a speech that a stage direction interrupted. Headings and
stage directions are dropped; the rest of a speech is joined to its beginning.
"""

import re
from collections.abc import Iterator

_HEADING = re.compile(r"#+ ")
_SPEAKER = re.compile(r"\*\*(.+)\*\*")
# A line of its own inside a speech: _\[To JULIET]_, or *Exit.*
_ACTION = re.compile(r"_*\\?\[[^\]]*\]_*|\*[^*]+\*")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")  # Markdown allows a backslash before any ASCII punctuation

# Errors in the source: wrong markup (a speaker's name inside a line, a line marked as a speaker, verse marked as a
# stage direction) and a typo. The spelling is otherwise unchanged.
_CORRECTIONS = {
    "coriolanus": [
        ("\nSenators, & C We'll", "\n\n**Senators**\nWe'll"),
        ("\nSenators, & C Weapons", "\n\n**Senators**\nWeapons"),
        ("And _\\[Censorinus,]_  \nnobly", "And Censorinus, nobly"),
        ("_\\[by the people chosen]_  \ncensor", "by the people chosen censor"),
    ],
    "richard-iii": [
        ("\nGhost\n\n**of Prince Edward**", "\n**Ghost of Prince Edward**"),
        ("\nGhost\n\n**of King Henry VI**", "\n**Ghost of King Henry VI**"),
        ("\nGhosts\n\n**of young Princes**", "\n**Ghosts of young Princes**"),
        ("\nGhost\n\n**of BUCKINGHAM**", "\n**Ghost of BUCKINGHAM**"),
    ],
    "henry-vi-part-3": [("my sea sha$l suck", "my sea shall suck")],
    "henry-viii": [("_THE ORDER OF THE CORONATION_", "### THE ORDER OF THE CORONATION")],
    "a-midsummer-night-s-dream": [("he'll __\\[ ]_", "he'll")],
    "twelfth-night": [("and ever _\\[ ]_  \noft", "and ever oft")],
    "all-s-well-that-ends-well": [("&amp; c.", "&c.")],
    "measure-for-measure": [("\n\n**As long as you or I**  \nyet", "  \nAs long as you or I yet")],
    "the-taming-of-the-shrew": [("\nALL SERVING-MEN Here", "\n\n**ALL SERVING-MEN**\nHere")],
    "the-tempest": [
        ("ARIEL'S song.  \n", ""),
        ("\nEPILOGUE  \nSPOKEN BY PROSPERO  \n", "\n### EPILOGUE\n\n**PROSPERO**\n"),
    ],
    "hamlet": [
        ("**ROSENCRANTZ: & GUILDENSTERN:**", "**ROSENCRANTZ & GUILDENSTERN**"),
        ("And either _\\[ ]_  \nthe devil", "And either the devil"),
    ],
}


def correct(play: str, markdown: str) -> str:
    """Correct the known errors in one play's Markdown.

    Args:
        play: The name of the play's file, without the suffix: `the-tempest`.
        markdown: The play.

    Returns:
        The corrected play.
    """
    for wrong, right in _CORRECTIONS.get(play, []):
        markdown = markdown.replace(wrong, right)
    return markdown.replace("& c.", "&c.")


def to_dialogue(markdown: str) -> str:
    """Convert a play's Markdown to speeches: a line `NAME:`, the lines spoken, a blank line between speeches.

    Text before the first speaker of a scene is dropped, and so are speeches that have only stage directions. The result
    ends with one newline, or is empty.
    """
    speeches: list[list[str]] = []
    speaking = False
    for lines in _paragraphs(markdown):
        if _HEADING.match(lines[0]):
            speaking = False
            continue
        if name := _SPEAKER.fullmatch(lines[0]):
            speeches.append([f"{name[1]}:"])
            speaking = True
            del lines[0]
        if speaking:
            speeches[-1] += _spoken(lines)
    return "\n".join("\n".join(speech) + "\n" for speech in speeches if len(speech) > 1)


def _paragraphs(markdown: str) -> Iterator[list[str]]:
    """Yield the stripped lines of each paragraph; a speaker's name begins one even without a blank line before it."""
    for paragraph in re.split(r"\n[ \t]*\n|\n(?=\*\*.+\*\*[ \t]*\n)", markdown):
        if lines := [line.strip() for line in paragraph.strip().split("\n") if line.strip()]:
            yield lines


def _spoken(lines: list[str]) -> list[str]:
    """Return the spoken lines of a paragraph; none if the whole paragraph is a stage direction."""
    lines = [line for line in lines if not _ACTION.fullmatch(line)]
    if lines and (_encloses("_", lines) or _encloses("*", lines)):
        return []
    return [_ESCAPE.sub(r"\1", line) for line in lines]


def _encloses(mark: str, lines: list[str]) -> bool:
    return lines[0].startswith(mark) and lines[-1].endswith(mark)
