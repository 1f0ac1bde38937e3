"""Typed reading of TOML tables: every key is asked for, and what nobody asked for is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bootstrap.errors import BadInput

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEADER = re.compile(r"\s*\[\s*([^\[\]]*?)\s*\]")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*=""")


def path_fault(path: str) -> str | None:
    """Why ``path`` is no plain tree path, or None if it is one."""
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


def line_of(text: str, table: str, key: str) -> int | None:
    """The line (from 1) where ``key`` of ``table`` stands in TOML ``text``, if it can be told.

    Reads lines only; good enough to point a reader to the place, not a second TOML parser.
    """
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header and "=" not in line:
            current = header.group(1).replace('"', "").replace("'", "")
            if current == (f"{table}.{key}" if table else key):
                return number
            continue
        match = _KEY.match(line)
        if match and current == table and key in match.groups():
            return number
    return None


class Table:
    """One TOML table being read.  Every getter raises BadInput with the place if the key is bad."""

    def __init__(self, data: Mapping[str, Any], file: str, text: str, name: str = "") -> None:
        self._data = data
        self._file = file
        self._text = text
        self._name = name
        self._asked: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        """The keys in the file's order."""
        return iter(self._data)

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def error(self, key: str, fault: str) -> BadInput:
        """The error to raise for ``key``: file, line, key and fault."""
        line = line_of(self._text, self._name, key) if key else None
        if line is None and self._name:
            table, _, last = self._name.rpartition(".")
            line = line_of(self._text, table, last)
        place = self._file if line is None else f"{self._file}:{line}"
        dotted = ".".join(part for part in (self._name, _quoted(key)) if part)
        return BadInput(f"{place}: {dotted} {fault}")

    def done(self) -> None:
        """Raise for the first key that was never asked for."""
        for key in self._data:
            if key not in self._asked:
                known = ", ".join(sorted(self._asked))
                raise self.error(key, f"is not a key that is known here; known: {known}")

    def _get(self, key: str, kind: type, what: str) -> Any:
        self._asked.add(key)
        if key not in self._data:
            raise self.error(key, "is missing")
        value = self._data[key]
        # bool is a subclass of int, but true is not a size.
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, f"must be {what}")
        return value

    def integer(self, key: str) -> int:
        value: int = self._get(key, int, "a whole number")
        if value < 0:
            raise self.error(key, "must not be negative")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        self._asked.add(key)
        if default is not None and key not in self._data:
            return default
        value: str = self._get(key, str, "a string")
        return value

    def word(self, key: str) -> str:
        value = self.text(key)
        if not _WORD.fullmatch(value):
            raise self.error(key, f"is {value!r}; it must be letters, digits, '.', '_' and '-'")
        return value

    def optional_word(self, key: str) -> str | None:
        self._asked.add(key)
        return self.word(key) if key in self._data else None

    def sha256(self, key: str) -> str:
        value = self.text(key)
        if not _SHA256.fullmatch(value):
            raise self.error(key, f"is no sha256 (64 lower-case hexadecimal digits): {value!r}")
        return value

    def commit(self, key: str) -> str:
        value = self.text(key)
        if not _COMMIT.fullmatch(value):
            raise self.error(key, f"is no commit (40 lower-case hexadecimal digits): {value!r}")
        return value

    def check_path(self, key: str, path: str) -> str:
        fault = path_fault(path)
        if fault is not None:
            raise self.error(key, f"is no plain path in the tree: {path!r} {fault}")
        return path

    def path(self, key: str) -> str:
        return self.check_path(key, self.text(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings without duplicates; an absent key is the empty list."""
        self._asked.add(key)
        if key not in self._data:
            return ()
        values = self._get(key, list, "a list of strings")
        seen: set[str] = set()
        for value in values:
            if not isinstance(value, str):
                raise self.error(key, "must be a list of strings")
            if value in seen:
                raise self.error(key, f"has {value!r} twice")
            seen.add(value)
        return tuple(values)

    def paths(self, key: str) -> tuple[str, ...]:
        return tuple(self.check_path(key, path) for path in self.texts(key))

    def commands(self, key: str) -> tuple[tuple[str, ...], ...]:
        """A non-empty list of commands, each a non-empty list of strings: argv."""
        rows = self._get(key, list, "a list of commands")
        for row in rows:
            whole = isinstance(row, list) and row and all(isinstance(arg, str) for arg in row)
            if not whole or any("\0" in arg for arg in row):
                raise self.error(key, "must be a list of commands, each a list of strings")
        if not rows:
            raise self.error(key, "has no command")
        return tuple(tuple(row) for row in rows)

    def table(self, key: str) -> Table:
        data = self._get(key, dict, "a table")
        name = f"{self._name}.{key}" if self._name else key
        return Table(data, self._file, self._text, name)

    def optional_table(self, key: str) -> Table | None:
        self._asked.add(key)
        return self.table(key) if key in self._data else None


def _quoted(key: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9_-]*", key)
    return key if plain else f'"{key}"'
