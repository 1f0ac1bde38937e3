"""What mkdocs adds to the pages in docs/: README as the first, and the reference, made of the code.

A hook of mkdocs (mkdocs.yml). Links that lead out of docs/ become names of files.
"""

import inspect
import json
import os
import re
from pathlib import Path

from mkdocs.structure.files import File, Files

from bootstrap.cli.command_parser import CommandParser
from bootstrap.cli.commands import parser

ROOT = Path(__file__).resolve().parents[2]
_OUT = re.compile(
    r"\[([^\]]*)\]\((?:\.\./)+((?!ci/|docs/)[^)#]+)(#[^)]*)?\)"
    r"|\[([^\]]*)\]\(((?:\.\./)?ci/[^)]+)\)"
)


def on_files(files: Files, config) -> Files:
    os.environ["COLUMNS"] = "80"
    readme = (ROOT / "README.md").read_text("utf-8")
    # Seen from docs/: its pages are beside it, its other files are not on the site.
    readme = re.sub(r"\]\(docs/", "](", readme)
    readme = re.sub(r"\[([^\]]*)\]\(([A-Z]+\.md)\)", r"`\2`", readme)
    for name, text in {
        "index.md": readme,
        "reference/commands.md": commands(),
        "reference/json.md": schemas(),
        "reference/python.md": python(),
    }.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A link out of docs/ (a source file, a schema) is shown as the file's name."""

    def plain(found: re.Match[str]) -> str:
        text, target, _, other, ci = found.groups()
        label, place = (text, target) if target else (other, ci)
        return label if place in label else f"{label} (`{place.removeprefix('../')}`)"

    markdown = _OUT.sub(plain, markdown)
    return re.sub(r"\]\(([\w-]+)\.schema\.json\)", r"](reference/json.md#\1)", markdown)


def commands() -> str:
    """Every command's help, as it is printed."""
    parts = ["# Commands\n\nThe help of every command, as it prints it.\n"]

    def add(one: CommandParser) -> None:
        text = one.format_help()
        if one.prog != "bootstrap":
            text = text[: text.index("\nenvironment:")]  # once is enough
        level = "##" if one.prog.count(" ") < 2 else "###"
        parts.append(f"{level} {one.prog}\n\n```text\n{text.rstrip()}\n```\n")
        for below in one.commands.values():
            add(below)

    add(parser())
    return "\n".join(parts)


def schemas() -> str:
    """The keys of every document, from its schema."""
    parts = ["# JSON documents\n\nFrom the schemas in docs/, which are also in the package.\n"]
    for file in sorted((ROOT / "docs").glob("*.schema.json")):
        schema = json.loads(file.read_text("utf-8"))
        name, about = file.name.removesuffix(".schema.json"), schema.get("description", "")
        parts.append(f"## {name}\n\n{about}\n")
        parts.append("| key | type | |\n|---|---|---|")
        for name, value in schema["properties"].items():
            about = value.get("description", "").replace("|", "\\|")
            parts.append(f"| `{name}` | {kind(value)} | {about} |")
        parts.append("")
    return "\n".join(parts)


def kind(value: dict) -> str:
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{json.dumps(one)}`" for one in value["enum"])
    names = value.get("type", "any")
    text = " or ".join([names] if isinstance(names, str) else names)
    items = value.get("items")
    return f"{text} of {kind(items)}" if items and items.get("type") else text


def python() -> str:
    """The public names of Python: a session, and what reads a trace."""
    from bootstrap import trace
    from bootstrap.debug.session import Session

    parts = [
        "# From Python\n\nTwo names are for others to import: `bootstrap.debug.session.Session`, a"
        " stepping session in a trace, and `bootstrap.trace.open`. [A session from a program]"
        "(../session.md) has an example that is run by a test.\n"
    ]
    for name, what in (("bootstrap.trace.open", trace.open), ("Session", Session)):
        parts.append(f"## {name}\n\n```python\n{name.rpartition('.')[2]}{signature(what)}\n```\n")
        parts.append(inspect.getdoc(what) or "")
    for name, what in vars(Session).items():
        if name.startswith("_") or not (callable(what) or isinstance(what, property | classmethod)):
            continue
        text = inspect.getdoc(what) or ""
        head = "" if isinstance(what, property) else signature(getattr(Session, name))
        parts.append(f"\n### {name}\n\n```python\n{name}{head}\n```\n\n{text}\n")
    return "\n".join(parts)


def signature(what: object) -> str:
    try:
        return str(inspect.signature(what))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
