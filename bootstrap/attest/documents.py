"""JSON that others wrote, of which only some is asked for: every value by its type.

What is asked for is checked as everywhere (bootstrap.documents); the rest is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from bootstrap.core.errors import BadInput
from bootstrap.documents import MAX_DOCUMENT, Fault, Sha256, Size, json_value, typed
from bootstrap.sources.tree import read_file

T = TypeVar("T")
NotUnderstood = Fault
"""A document is not what it should be; the message says where in it, and how."""
parse = json_value


def read(path: Path) -> bytes:
    """A document's bytes.  Raises BadInput."""
    return read_file(path, MAX_DOCUMENT)


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

    def get(self, key: str, kind: type[T]) -> T:
        """The value of ``key``, of any kind that bootstrap.documents knows."""
        if key not in self.data:
            raise self.fault(key, "is missing")
        try:
            return typed(kind, self.data[key])
        except Fault as fault:
            raise NotUnderstood(f"{self._place(key)}{'.' if fault.way else ' '}{fault}") from None

    def text(self, key: str) -> str:
        return self.get(key, str)

    def optional_text(self, key: str) -> str | None:
        return None if self.data.get(key) is None else self.text(key)

    def number(self, key: str) -> int:
        return self.get(key, Size)

    def sha256(self, key: str) -> str:
        return self.get(key, Sha256)

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
