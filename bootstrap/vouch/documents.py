"""JSON that others wrote, read strictly: no key twice, no NaN, every value asked for by type."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from bootstrap.errors import BadInput
from bootstrap.sources.tree import read_file

MAX_DOCUMENT = 64 << 20
"""Bytes; a report of all architectures has less than two million."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class NotUnderstood(Exception):
    """A document is not what it should be; the message says where in it, and how."""


def parse(data: bytes) -> Any:
    """A JSON text in UTF-8.  Raises NotUnderstood."""
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_no_key_twice, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise NotUnderstood(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotUnderstood(f"not JSON: {error.msg} at line {error.lineno}") from None
    except (ValueError, RecursionError) as error:
        # ValueError: an integer with more digits than Python reads.
        raise NotUnderstood(f"not JSON that can be read: {error}") from None


def read(path: Path) -> bytes:
    """A document's bytes.  Raises BadInput."""
    return read_file(path, MAX_DOCUMENT)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise NotUnderstood(f"has the key {key!r} twice")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise NotUnderstood(f"has {name}, which is no JSON")


class Part:
    """A JSON object being read; ``where`` is its place in the document, for errors."""

    def __init__(self, data: Any, where: str = "") -> None:
        if not isinstance(data, dict):
            raise NotUnderstood(f"{where or 'the document'} is no JSON object")
        self.data: Mapping[str, Any] = data
        self.where = where

    def fault(self, key: str, fault: str) -> NotUnderstood:
        """The error for ``key``."""
        return NotUnderstood(f"{self._place(key)} {fault}")

    def text(self, key: str) -> str:
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self.fault(key, "is no string" if key in self.data else "is missing")
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise self.fault(key, f"is no text: {value!r}") from None
        return value

    def optional_text(self, key: str) -> str | None:
        return None if self.data.get(key) is None else self.text(key)

    def number(self, key: str) -> int:
        value = self.data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.fault(key, "is no whole number from 0")
        return value

    def sha256(self, key: str) -> str:
        value = self.text(key)
        if not _SHA256.fullmatch(value):
            raise self.fault(key, "is no sha256 in lower-case hexadecimal digits")
        return value

    def part(self, key: str) -> Part:
        if key not in self.data:
            raise self.fault(key, "is missing")
        return Part(self.data[key], self._place(key))

    def parts(self, key: str) -> list[Part]:
        return [
            Part(item, f"{self._place(key)}[{number}]")
            for number, item in enumerate(self.items(key))
        ]

    def items(self, key: str) -> list[Any]:
        value = self.data.get(key)
        if not isinstance(value, list):
            raise self.fault(key, "is no list" if key in self.data else "is missing")
        return value

    def _place(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key


def read_object(path: Path) -> Part:
    """A file with one JSON object.  Raises BadInput, naming the file and the fault."""
    data = read(path)
    try:
        return Part(parse(data))
    except NotUnderstood as error:
        raise BadInput(f"{path}: {error}") from None
