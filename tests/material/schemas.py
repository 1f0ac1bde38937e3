"""Holds documents against the schemas in docs/, as closed: a key that no schema has is wrong."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMAS = sorted(DOCS.glob("*.schema.json"))


def name_of(schema: str) -> str:
    """`bootstrap-trace-why/1` is described by docs/trace-why.schema.json."""
    return schema.partition("/")[0].removeprefix("bootstrap-")


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """Of one kind of document. Raises FileNotFoundError where docs/ has none."""
    schema = json.loads((DOCS / f"{name}.schema.json").read_text("utf-8"))
    if "$defs" not in schema:  # those compose objects of parts, which cannot be closed one by one
        _close(schema)
    return jsonschema.Draft202012Validator(schema)


def require(text: str) -> Any:
    """The document, if it is as its schema says. Raises jsonschema.ValidationError."""
    value = json.loads(text)
    validator(name_of(value["schema"])).validate(value)
    assert value["schema"].endswith("/1") or value["schema"].endswith("/2")
    return value


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema:
            schema["additionalProperties"] = False
        for part in schema.values():
            _close(part)
    elif isinstance(schema, list):
        for part in schema:
            _close(part)
