r"""The one door for documents that others may have written: JSON, TOML, rows of a database.

Plain values become frozen dataclasses by their type hints (`decode`), and go back (`encode`). What
a hint does not allow is an error with its place, as `report.json: artifacts[3].size is missing`:
another type (`true` is no number), an integer over 64 bits, text that is not Unicode, a key that is
not known, is twice there or is missing. What a type cannot say is said beside it (`Sha256`, `Size`,
`Annotated[str, one_line]`), or in the class's `__post_init__`, which raises `BadValue`.

A byte of a file name that is no UTF-8 may stand in text as U+DC80 to U+DCFF (PEP 383), as our own
reports have it; no other lone surrogate may. `bootstrap.core.errors.printable` prints any of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import re
import tomllib
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from bootstrap.core.errors import BadInput

MAX_DOCUMENT = 16 << 20
"""Bytes; a report of all architectures has less than two million."""
MAX_DEPTH = 64
"""Objects within objects, where a hint allows any value."""
THE_KEY = "<key>"
"""As a field's key: it holds the key under which its table stands in a mapping."""

Way = tuple[str | int, ...]
"""The place of a value in a document: keys, and indexes of lists."""
T = TypeVar("T")
_Decode = Callable[[Any, Way], Any]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*=""")
# tomllib's time for one key grows with the square of its parts.
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){64}""")


class BadValue(ValueError):
    """What is wrong in a document, and where in it."""

    def __init__(self, fault: str, *way: str | int) -> None:
        super().__init__(fault)
        self.way: Way = way

    def __str__(self) -> str:
        return f"{dotted(self.way)} {self.args[0]}".lstrip()


def dotted(way: Way) -> str:
    """A place for people: `artifacts[3].size`, `materials."a b"`."""
    text = ""
    for part in way:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            quoted = part if _PLAIN_KEY.fullmatch(part) else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text


# -- what a type cannot say, for Annotated: a function that raises BadValue ------------------------


def matching(pattern: str, what: str) -> Callable[[str], None]:
    """Text that matches as a whole; ``what`` it then is, for the error."""
    compiled = re.compile(pattern)

    def check(value: str) -> None:
        if not compiled.fullmatch(value):
            raise BadValue(f"is no {what}: {value!r}")

    return check


def one_of(*words: str) -> Callable[[str], None]:
    """One of these."""
    return lambda value: _one_of(words, value, ())


def at_least(least: int) -> Callable[[int], None]:
    """A number that is not below ``least``."""

    def check(value: int) -> None:
        if value < least:
            raise BadValue(
                "must not be negative" if not least else f"is {value}, less than {least}"
            )

    return check


def unique(values: tuple[object, ...]) -> None:
    """A list that has nothing twice."""
    if len(set(values)) < len(values):
        raise BadValue(f"has {_twice(values)!r} twice")


def _twice(values: Iterable[object]) -> object:
    (twice, _), *_ = Counter(values).most_common(1)
    return twice


def filled(values: tuple[object, ...] | Mapping[str, object]) -> None:
    """A list or table that has something in it."""
    if not values:
        raise BadValue("is empty")


def path_fault(path: str) -> str | None:
    """Why ``path`` is no plain path in a tree, or None if it is one."""
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if "\0" in path:
        return "holds a NUL byte"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"has a component {part!r}"
    return None


def _in_a_tree(path: str) -> None:
    if fault := path_fault(path):
        raise BadValue(f"is no plain path in the tree: {path!r} {fault}")


_HEX = "lower-case hexadecimal digits"
Sha256 = Annotated[str, matching("[0-9a-f]{64}", f"sha256 (64 {_HEX})")]
Commit = Annotated[str, matching("[0-9a-f]{40}", f"commit (40 {_HEX})")]
Word = Annotated[
    str, matching("[A-Za-z0-9][A-Za-z0-9._-]*", "name of letters, digits, '.', '_' and '-'")
]
TreePath = Annotated[str, _in_a_tree]
"""Relative, ``/``-separated, without ``.``, ``..`` or empty components."""
Texts = Annotated[tuple[str, ...], unique]
Size = Annotated[int, at_least(0)]
"""A size or count: not negative."""


def key(name: str | None, **default: Any) -> Any:
    """A field with another key than its name; or `THE_KEY`; or None: it is not in the document."""
    return dataclasses.field(metadata={"key": name}, **default)


# -- plain values to typed ones ------------------------------------------------------------------


def typed(cls: type[T], value: object, *way: str | int, lenient: bool = False) -> T:
    """``value``, which stands at ``way``, as a ``cls`` (any hint). Raises BadValue.

    ``lenient``: unknown keys are passed over.
    """
    return cast(T, _decoder(cast(Any, cls), lenient)(value, way))


def decode(cls: type[T], value: object, place: str, *, lenient: bool = False) -> T:
    """As `typed`; raises BadInput that begins with ``place``, the document's name."""
    with named(place):
        return typed(cls, value, lenient=lenient)


def from_json(cls: type[T], data: bytes, place: str, *, limit: int = MAX_DOCUMENT) -> T:
    """`typed_json`; raises BadInput that begins with ``place``."""
    with named(place):
        return typed_json(cls, data, limit=limit)


def typed_json(cls: type[T], data: bytes | str, *, limit: int = MAX_DOCUMENT) -> T:
    """A JSON text as a ``cls``; raises BadValue."""
    return typed(cls, json_value(data, limit))


def from_toml(
    cls: type[T], data: bytes | str, place: str, *checks: Callable[[T], None], lenient: bool = False
) -> T:
    """A TOML text as a ``cls`` that ``checks`` find good (else they raise BadValue).

    Raises BadInput that begins with ``place`` and the line, where it is known.
    """
    text = ""
    try:
        text = _utf8(data)
        found = typed(cls, _toml_value(text), lenient=lenient)
        for check in checks:
            check(found)
        return found
    except BadValue as fault:
        line = line_of(text, fault.way)
        raise BadInput(f"{place}{'' if line is None else f':{line}'}: {fault}") from None


def _toml_value(text: str) -> dict[str, Any]:
    if any(line.count(".") > 63 and _LONG_KEY.search(line) for line in text.splitlines()):
        raise BadValue("has a key of more than 64 parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise BadValue("not valid TOML: nested too deep") from None
    except ValueError as error:  # TOMLDecodeError; a number with more digits than Python reads
        raise BadValue(f"not valid TOML: {error}") from None


@contextlib.contextmanager
def named(place: str) -> Iterator[None]:
    """A BadValue within it becomes BadInput that begins with ``place``."""
    try:
        yield
    except BadValue as fault:
        raise BadInput(f"{place}: {fault}") from None


def json_value(data: bytes | str, limit: int = MAX_DOCUMENT) -> Any:
    """A JSON text in UTF-8 of at most ``limit`` bytes, no key twice, no NaN. Raises BadValue."""
    if len(data) > limit:
        raise BadValue(f"is larger than {limit} bytes")
    text = _utf8(data)
    try:
        return json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadValue(f"not JSON: {error.msg} at line {error.lineno}") from None
    except RecursionError:
        raise BadValue("not JSON that can be read: nested too deep") from None
    except BadValue:
        raise
    except ValueError as error:  # a number with more digits than Python reads
        raise BadValue(f"not JSON that can be read: {error}") from None


def decoded(data: bytes, place: str) -> str:
    """UTF-8 as text. Raises BadInput that begins with ``place``."""
    with named(place):
        return _utf8(data)


def _utf8(data: bytes | str) -> str:
    try:
        return data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadValue(f"not UTF-8 at byte {error.start}") from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadValue(f"has the key {_twice([name for name, _ in pairs])!r} twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadValue(f"has {name}, which is no JSON")


def line_of(text: str, way: Way) -> int | None:
    """The line (from 1) of a place in TOML, or of the nearest table around it.

    Reads lines only: good enough to point a reader to the place, not a second TOML parser.
    """
    table: Way = ()
    last: dict[Way, int] = {}
    found, length = None, 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = ()
            names = ["".join(part) for part in _PART.findall(header[2])]
            for depth, name in enumerate(names, 1):
                table = (*table, name)
                if depth == len(names) and header[1] == "[[":
                    last[table] = last.get(table, -1) + 1
                if table in last:
                    table = (*table, last[table])
            here = table
        elif match := _KEY.match(line):
            here = (*table, next(part for part in match.groups() if part is not None))
        else:
            continue
        if length < len(here) <= len(way) and here == way[: len(here)]:
            found, length = number, len(here)
    return found


# -- by hint -------------------------------------------------------------------------------------


@functools.cache
def _decoder(hint: Any, lenient: bool) -> _Decode:
    """The function that decodes what has that hint."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is Annotated:
        return functools.partial(_checked, _decoder(args[0], lenient), args[1:])
    if origin is Literal:
        return functools.partial(_one_of, args)
    if origin in (Union, types.UnionType):
        if all(get_origin(arg) is Literal for arg in args):
            return functools.partial(_one_of, sum(map(get_args, args), ()))
        return functools.partial(_either, [_decoder(arg, lenient) for arg in args])
    if origin is tuple and args[-1] is not ...:
        return functools.partial(_fixed, None, [_decoder(arg, lenient) for arg in args])
    if origin in (tuple, frozenset, list):
        return functools.partial(_many, origin, _decoder(args[0], lenient))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return functools.partial(_table, _decoder(args[0], lenient), _decoder(args[1], lenient))
    if hasattr(hint, "from_text"):
        return functools.partial(_from_text, hint)
    if isinstance(hint, type) and issubclass(hint, tuple):
        hints = get_type_hints(hint, include_extras=True)
        return functools.partial(_fixed, hint, [_decoder(kind, lenient) for kind in hints.values()])
    if dataclasses.is_dataclass(hint):
        # Its fields are read when it is first needed: a class may have itself within it.
        return functools.partial(_object, hint, lenient)
    raise TypeError(f"no document can hold a {hint}")


def _text(value: Any, way: Way) -> str:
    if not isinstance(value, str):
        raise BadValue("must be a string", *way)
    if not value.isascii() and _SURROGATE.search(value):
        raise BadValue("is no Unicode text: it has a lone surrogate", *way)
    return value


def _integer(value: Any, way: Way) -> int:
    # bool is a subclass of int, but true is not a size.
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadValue("must be a whole number", *way)
    if not -(1 << 63) <= value < 1 << 64:
        raise BadValue("is a number of more than 64 bits", *way)
    return value


def _real(value: Any, way: Way) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise BadValue("must be a number", *way)
    return float(value)


def _only(kind: type[T], what: str) -> Callable[[Any, Way], T]:
    def decode(value: Any, way: Way) -> T:
        if not isinstance(value, kind):
            raise BadValue(f"must be {what}", *way)
        return value

    return decode


_truth = _only(bool, "true or false")
_list = _only(list, "a list")
_dict = _only(dict, "a table")


def _bytes(value: Any, way: Way) -> bytes:
    """Bytes in a row, hexadecimal digits in text."""
    try:
        return value if isinstance(value, bytes) else bytes.fromhex(_text(value, way))
    except ValueError:
        raise BadValue("must be bytes", *way) from None


def _day(value: Any, way: Way) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise BadValue("must be a day without a time, as in 2026-11-23", *way)
    return value


def _nothing(value: Any, way: Way) -> None:
    if value is not None:
        raise BadValue("must be null", *way)


def _anything(value: Any, way: Way) -> Any:
    """Any plain value, whose text is Unicode."""
    if len(way) > MAX_DEPTH:
        raise BadValue("is nested too deep", *way[:1])
    if isinstance(value, dict):
        return {_text(k, way): _anything(inner, (*way, k)) for k, inner in value.items()}
    if isinstance(value, list):
        return [_anything(inner, (*way, index)) for index, inner in enumerate(value)]
    return _text(value, way) if isinstance(value, str) else value


_SCALARS: Mapping[Any, _Decode] = {
    str: _text, int: _integer, float: _real, bool: _truth, bytes: _bytes, date: _day,
    types.NoneType: _nothing, object: _anything, Any: _anything,
}  # fmt: skip


def _checked(inner: _Decode, checks: tuple[Any, ...], value: Any, way: Way) -> Any:
    found = inner(value, way)
    try:
        for check in checks:
            check(found)
    except BadValue as fault:
        raise BadValue(fault.args[0], *way, *fault.way) from None
    return found


def _placed(call: Callable[..., T], way: Way, /, *args: Any, **kwargs: Any) -> T:
    """What it raises has its place below ``way``."""
    try:
        return call(*args, **kwargs)
    except BadValue as fault:
        raise BadValue(fault.args[0], *way, *fault.way) from None


def _one_of(words: tuple[Any, ...], value: Any, way: Way) -> Any:
    if any(value == word and type(value) is type(word) for word in words):
        return value
    said = repr(value) if isinstance(value, str | int) else "of another kind"
    raise BadValue(f"is {said}; it must be {' or '.join(map(str, words))}", *way)


def _either(kinds: list[_Decode], value: Any, way: Way) -> Any:
    kinds = [kind for kind in kinds if (kind is _nothing) == (value is None)] or kinds
    for kind in kinds[:-1]:
        try:
            return kind(value, way)
        except BadValue:
            continue
    return kinds[-1](value, way)


def _fixed(made: Any, kinds: list[_Decode], value: Any, way: Way) -> tuple[Any, ...]:
    """A tuple, or a named one that is ``made`` of it."""
    if len(_list(value, way)) != len(kinds):
        raise BadValue(f"must have {len(kinds)} values", *way)
    cells = tuple(kind(value[index], (*way, index)) for index, kind in enumerate(kinds))
    return made(*cells) if made else cells


def _many(made: Callable[[Any], Any], kind: _Decode, value: Any, way: Way) -> Any:
    return made([kind(inner, (*way, index)) for index, inner in enumerate(_list(value, way))])


def _table(keys: _Decode, kind: _Decode, value: Any, way: Way) -> Mapping[str, Any]:
    found = {}
    for name, inner in _dict(value, way).items():
        here = (*way, name)
        name = keys(name, here)
        found[name] = kind(inner, here)
    return types.MappingProxyType(found)


def _from_text(cls: Any, value: Any, way: Way) -> Any:
    return _placed(cls.from_text, way, _text(value, way))


@functools.cache
def _fields(cls: Any, lenient: bool) -> dict[str, tuple[dataclasses.Field[Any], _Decode]]:
    """The fields of a class by their keys."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        name: (field, _decoder(hints[field.name], lenient))
        for field in dataclasses.fields(cls)
        if (name := _key_of(field)) is not None
    }


def _key_of(field: dataclasses.Field[Any]) -> str | None:
    """`from_` is `from` in a document."""
    found: str | None = field.metadata.get("key", field.name.rstrip("_"))
    return found if field.init else None


def _object(cls: Any, lenient: bool, value: Any, way: Way) -> Any:
    fields = _fields(cls, lenient)
    cells, value = {}, _dict(value, way)
    for name, (field, kind) in fields.items():
        if name == THE_KEY:
            if way and isinstance(way[-1], str):
                cells[field.name] = way[-1]
        elif name in value:
            cells[field.name] = kind(value[name], (*way, name))
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise BadValue("is missing", *way, name)
    # Only now: a document of another version says first that it is one.
    for name in value:
        if not lenient and (name not in fields or name == THE_KEY):
            known = ", ".join(sorted(set(fields) - {THE_KEY}))
            raise BadValue(f"is not a key that is known here; known: {known}", *way, name)
    return _placed(cls, way, **cells)


# -- and back ------------------------------------------------------------------------------------


def encode(value: object) -> Any:
    """Typed values as plain ones, from which `decode` makes the same again.

    Raises TypeError for what no document can hold.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "from_text"):
        return str(value)
    if dataclasses.is_dataclass(value):
        names = {field.name: _key_of(field) for field in dataclasses.fields(value)}
        return {
            name: encode(getattr(value, field))
            for field, name in names.items()
            if name not in (None, THE_KEY)
        }
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: encode(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [encode(inner) for inner in value]
    if isinstance(value, frozenset):
        return sorted(map(encode, value))
    raise TypeError(f"no document can hold a {type(value).__name__}")
