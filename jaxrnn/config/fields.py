"""Dataclasses that validate the values of their fields on creation.

The type and the limits of a field are in its annotation::

    @dataclass(frozen=True, kw_only=True)
    class Train(Checked):
        steps: Annotated[int, Range(1, 1000)] = 100

`Train(steps=0)` raises `FieldError`; values from a file, the command line and Python are checked alike.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from jaxrnn.config.other_names import OTHER_NAMES
from jaxrnn.config.toml import parse_value, shortened, toml_string
from jaxrnn.errors import ConfigError, did_you_mean

Value = bool | int | float | str | tuple[str, ...] | None
_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
_NO_VALUE = object()
_NOWHERE: Mapping[str, str] = {}
_UNIONS = (typing.Union, types.UnionType)  # the types of `Annotated[...] | None` and of `str | None`


class Range(NamedTuple):
    """The numbers from `low` to `high`; `above` excludes `low`, `below` excludes `high`."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def allows(self, value: float) -> bool:
        """Return whether `value` is in the range; NaN and infinity are not."""
        return (value > self.low if self.above else value >= self.low) and (
            value < self.high if self.below else value <= self.high
        )

    def __str__(self) -> str:
        match self.above, self.below:
            case True, True:
                return f"above {self.low} and below {self.high}"
            case True, False:
                return f"above {self.low}, up to {self.high}"
            case False, True:
                return f"from {self.low} to below {self.high}"
        return f"from {self.low} to {self.high}"


class OneOf(NamedTuple):
    """One of several words."""

    words: tuple[str, ...]


class Text(NamedTuple):
    """A string, and whether it may be empty, which characters it must not have, and whether a list is allowed."""

    empty: bool = True
    without: str = ""
    several: bool = False


class Field(NamedTuple):
    """One field of a `Checked` dataclass, from its annotation.

    Attributes:
        name: The field's name, which is also its key in TOML.
        kind: `bool`, `int`, `float` or `str`.
        rule: The limits of its values; None: no limits.
        optional: Whether None is a value (in TOML: the key is left out).
        required: Whether the field has no default.
    """

    name: str
    kind: type
    rule: Range | OneOf | Text | None
    optional: bool
    required: bool

    @property
    def allowed(self) -> str:
        """The accepted values, as the end of a message "must be ..."."""
        match self.rule:
            case OneOf(words):
                return "one of " + ", ".join(map(toml_string, words))
            case Range():
                return f"{_KINDS[self.kind]} {self.rule}"
            case Text(empty, _, several):
                length = "" if empty else " of at least one character"
                return f"a string{length}, or a list of such strings" * several or f"a string{length}"
        return _KINDS[self.kind]


class FieldError(ConfigError):
    """An invalid value or an unknown key.

    Attributes:
        key: The path of the key from the dataclass that was being created, such as `steps` or `layers[1].size`; empty
            for the dataclass itself.
        problem: The problem, and the values that are allowed.
        value: The invalid value, if the value is the problem.
    """

    def __init__(self, key: str, problem: str, value: object = _NO_VALUE) -> None:
        """Join key, value and problem into one line."""
        super().__init__(f"{key}: {problem}" if value is _NO_VALUE else f"{key} = {show(value)}: {problem}")
        self.key = key
        self.problem = problem
        self.value = value

    def under(self, parent: str) -> "FieldError":
        """Return the error with `parent` put before its key."""
        return FieldError(f"{parent}.{self.key}" if self.key else parent, self.problem, self.value)


class Checked:
    """Base class of a dataclass that checks its values on creation; an integer for a float field is converted."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            FieldError: A value has the wrong type or is outside its limits.
        """
        for field in fields_of(type(self)).values():
            object.__setattr__(self, field.name, check(field, getattr(self, field.name)))


def fields_of(record: type[Any]) -> Mapping[str, Field]:
    """Return the fields of a `Checked` dataclass by name, in order."""
    hints = typing.get_type_hints(record, include_extras=True)
    found = {}
    for declared in dataclasses.fields(record):
        hint = hints[declared.name]
        choices = (hint,) if typing.get_origin(hint) not in _UNIONS else typing.get_args(hint)
        optional = types.NoneType in choices
        (hint,) = (choice for choice in choices if choice is not types.NoneType)
        kind, *rules = typing.get_args(hint) or (hint,)
        kind = str if typing.get_origin(kind) in _UNIONS else kind  # one string or several
        required = declared.default is dataclasses.MISSING
        found[declared.name] = Field(declared.name, kind, rules[0] if rules else None, optional, required)
    return found


def check(field: Field, value: object) -> Value:
    """Return `value` as the field stores it.

    Raises:
        FieldError: The value has the wrong type or is outside the field's limits.
    """
    match value:
        case None if field.optional:
            return None
        case bool() if field.kind is bool:
            return value
        case bool():  # not accepted as an int, though True is one in Python
            pass
        case int() if field.kind is int and _allowed(field, value):
            return value
        case int() | float() if field.kind is float and _allowed(field, value):
            return float(value)
        case str() if field.kind is str:
            return _check_text(field, value)
        case list() | tuple() if value and isinstance(field.rule, Text) and field.rule.several:
            return tuple(_check_item(field, item) for item in value)
    hint = ", without a point or an exponent" if field.kind is int and isinstance(value, float) else ""
    raise FieldError(field.name, f"must be {field.allowed}{hint}", value)


def _allowed(field: Field, value: float) -> bool:
    return not isinstance(field.rule, Range) or field.rule.allows(value)


def _check_item(field: Field, item: object) -> str:
    if not isinstance(item, str):
        raise FieldError(field.name, f"must be {field.allowed}", item)
    return _check_text(field, item)


def _check_text(field: Field, value: str) -> str:
    rule = field.rule
    if isinstance(rule, OneOf) and value not in rule.words:
        hint = did_you_mean(normalised(value), rule.words)
        raise FieldError(field.name, f"must be {field.allowed}{hint}", value)
    if isinstance(rule, Text) and not (value or rule.empty):
        raise FieldError(field.name, f"must be {field.allowed}", value)
    if isinstance(rule, Text) and any(character in value for character in rule.without):
        raise FieldError(field.name, f"must be without {toml_string(rule.without)}", value)
    if any("\ud800" <= character <= "\udfff" for character in value):  # from invalid UTF-8 in argv
        raise FieldError(field.name, "must be valid Unicode, without bytes that are not UTF-8", value)
    return value


Record = TypeVar("Record", bound=Checked)


def read_record(record: type[Record], table: Mapping[str, object], called: str) -> Record:
    """Create a record from the keys and values of a TOML table.

    Args:
        record: The `Checked` dataclass to create.
        table: Values by key; every key is known.
        called: The name of the table in messages, such as `[train]`.

    Raises:
        FieldError: A value is not accepted, or a required key is missing.
    """
    for field in fields_of(record).values():
        if field.required and field.name not in table:
            raise FieldError(field.name, f"is missing; {called} needs it, and it must be {field.allowed}")
    return record(**table)


def refuse_unknown(
    found: Iterable[str], known: Iterable[str], called: str, *, elsewhere: Mapping[str, str] = _NOWHERE
) -> None:
    """Refuse unknown keys; the message suggests the most similar known key, or lists all known keys.

    Args:
        found: The keys to check.
        known: The allowed keys.
        called: The name of the table in messages, such as `[train]`.
        elsewhere: Keys that belong to other tables, with their full paths.

    Raises:
        FieldError: One of `found` is not in `known`.
    """
    known = list(known)
    for key in found:
        if key in known:
            continue
        spelled = normalised(key)
        near, path = nearest(key, known), elsewhere.get(spelled)
        other = OTHER_NAMES.get(spelled)
        guesses = (
            [other] if other else [guess for guess in (near, None if spelled == near else path) if guess]
        )
        advice = f"did you mean {' or '.join(guesses)}?" if guesses else f"{called} has {', '.join(known)}"
        raise FieldError(show_key(key), f"unknown key; {advice}")


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the most similar of `words`, ignoring case and hyphens; None if none is similar."""
    matches = difflib.get_close_matches(normalised(word), list(words), n=1)
    return matches[0] if matches else None


def normalised(key: str) -> str:
    """Return a key in lower case with underscores, as configs spell it."""
    return key.strip().lower().replace("-", "_")


def parse_text(field: Field, text: str) -> Value | list[object]:
    """Parse the text of a value, as given on the command line; strings need no quotes.

    A TOML list is accepted by a field that takes several strings.

    Raises:
        FieldError: The text is not a value of the field's type.
    """
    try:
        if field.kind is bool:
            return {"true": True, "false": False}[text.strip().lower()]
        if field.kind is int:
            return int(text)
        if field.kind is float:
            return float(text)
    except (KeyError, ValueError):
        raise FieldError(field.name, f"must be {field.allowed}") from None
    is_list = text[:1] == "[" and isinstance(field.rule, Text) and field.rule.several
    if is_list or text[:1] in ('"', "'"):
        try:
            quoted = parse_value(text)
        except ConfigError:
            return text  # a string that starts with a quotation mark or a bracket but is not TOML
        return quoted if isinstance(quoted, str) or is_list else text
    return text


def show(value: object) -> str:
    """Return any value as TOML on one short line, for messages."""
    match value:
        case bool():
            return str(value).lower()
        case int() if value.bit_length() > 200:  # Python refuses to convert the largest integers to text
            return "(a huge integer)"
        case int() | float() | None:
            return str(value)
        case str():
            return shortened(toml_string(value))
        case dict():
            return "(a table)"
        case list() | tuple():
            return "(a list)"
    return f"(a {type(value).__name__})"


def show_key(key: str) -> str:
    """Return a key for a message, quoted unless it is a plain word."""
    return shortened(key if key.isidentifier() and key.isascii() else toml_string(key))
