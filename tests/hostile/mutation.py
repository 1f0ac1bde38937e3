"""Changes documents: their bytes, or the values in them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 2**31, 2**63, 2**64, 10**30, -(2**70), 1.5, float("inf"),
    float("nan"), "", "x", "/", "..", "a/../b", "0" * 64, "\ud800", "\udcff", "\x1b[31mred",
    "\u202etxt", "line\nline", "back\\slash", "nul\0", "é", [], {}, [[]], [None], {"x": 1},
    "9" * 5000,
)  # fmt: skip


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def ways(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value."""
    found = [before] if before else []
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            found += ways(inner, (*before, key))
    return found


def changed(value: Any, dice: random.Random) -> Any:
    """The same with one to three places changed, taken away, doubled or added."""
    value = copy.deepcopy(value)
    for _ in range(dice.randint(1, 3)):
        places = ways(value)
        if not places:
            return copy.deepcopy(dice.choice(ODD))
        way = dice.choice(places)
        at = value
        for key in way[:-1]:
            at = at[key]
        act = dice.randrange(8)
        odd = (
            deep(dice.choice((70, 300)))
            if not dice.randrange(40)
            else copy.deepcopy(dice.choice(ODD))
        )
        if act < 4:
            at[way[-1]] = odd
        elif act == 4:
            del at[way[-1]]
        elif act == 5 and isinstance(at, dict):
            at[dice.choice(["x", "\ud800", "a\nb", "schema", "<key>", ""])] = odd
        elif act == 5:
            at.insert(dice.randrange(len(at) + 1), copy.deepcopy(dice.choice(at)))
        elif act == 6:
            at[way[-1]] = [at[way[-1]]]
        else:
            other = value
            for key in dice.choice(places):
                other = other[key]
            at[way[-1]] = copy.deepcopy(other)
    return value


def as_json(value: Any) -> bytes:
    """As Python writes it, Infinity and lone surrogates included."""
    return json.dumps(value).encode()


def as_toml(value: Mapping[str, Any]) -> bytes:
    """TOML where there is such, and nonsense where there is not."""
    lines: list[str] = []
    _toml_table(value, "", lines)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _toml_key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, str | bool | int | float) or value is None:
        return json.dumps(value, ensure_ascii=False)
    return str(value)  # a day


def _toml_table(table: Mapping[str, Any], name: str, lines: list[str]) -> None:
    for key, value in table.items():
        if not isinstance(value, dict):
            lines.append(f"{_toml_key(key)} = {_toml_value(value)}")
    for key, value in table.items():
        if isinstance(value, dict):
            inner = f"{name}.{_toml_key(key)}" if name else _toml_key(key)
            lines.append(f"[{inner}]")
            _toml_table(value, inner, lines)


def bent(data: bytes, dice: random.Random) -> bytes:
    """The same with some bytes changed, cut away, doubled or put in."""
    raw = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8))):
        at = dice.randrange(len(raw) + 1)
        length = dice.choice((1, 1, 4, 64, 4096))
        act = dice.randrange(6)
        if act == 0:
            raw[at : at + 1] = bytes([dice.randrange(256)])
        elif act == 1:
            raw[at : at + length] = dice.randbytes(min(length, 64))
        elif act == 2:
            del raw[at : at + length]
        elif act == 3:
            raw[at:at] = raw[at : at + length]
        elif act == 4:
            raw[at:at] = dice.choice((b"\x00", b"\xff", b"\n", b"[", b"{", b'"', b"\x1b[2J", b"-"))
        else:
            del raw[at:]
    return bytes(raw)


def either(parts: Any, write: Callable[[Any], bytes], dice: random.Random) -> bytes:
    """A document whose values, or whose bytes, are changed."""
    if dice.randrange(4):
        return write(changed(parts, dice))
    return bent(write(parts), dice)
