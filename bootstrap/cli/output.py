"""Writes what a command made: to standard output, or to a file that is whole or untouched.

The verdict first: what is known after minutes of work must not be lost because a file cannot be
written. `check_places` finds out before the work what can be known then, `each` is for the rest.
"""

import contextlib
import errno
import functools
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from bootstrap import signals
from bootstrap.cli.live import style_for
from bootstrap.core.errors import BadInput, printable

STDOUT = "-"


def say(lines: Iterable[str], stream: TextIO | None = None) -> None:
    """Lines for people, on standard output; foreign text in them does nothing to a terminal."""
    (stream or sys.stdout).writelines(f"{printable(line)}\n" for line in lines)


def each(*outputs: Callable[[], object] | str | None) -> None:
    """Do one after the other, also where some cannot be done; the verdict is the first of them.

    None and "" are what was not asked for.

    Raises then, at the end, OSError (from standard output) or BadInput; of several, all but one are
    printed.
    """
    failed: list[BadInput] = []
    broken: OSError | None = None
    for output in outputs:
        try:
            if callable(output):
                output()
        except BadInput as error:
            failed.append(error)
        except OSError as error:
            broken = broken or error
    for one in failed if broken else failed[:-1]:
        print(f"bootstrap: {printable(str(one))}", file=sys.stderr)
    if broken is not None:
        raise broken
    if failed:
        raise failed[-1]


def write_json(dest: str | None, value: object) -> None:
    """Write a document where it is asked for: plain values, and dataclasses, which become objects.

    Each has `schema`, which is also the name of the schema in docs/, and the tool with its version.
    Otherwise as `write_text`.
    """
    from bootstrap.documents import encode

    if dest is None:
        return
    plain = encode(value)
    if "tool" not in plain:
        plain = document(**plain)
    write_text(dest, json.dumps(plain, indent=2) + "\n")


def document(**fields: object) -> dict[str, object]:
    """A document's schema, the first of the fields, then this tool, then the others."""
    import bootstrap

    tool = {"name": "bootstrap", "version": bootstrap.__version__}
    return {"schema": fields.pop("schema"), "tool": tool, **fields}


def check_guest_places(json_dest: str | None, *files: str | None) -> None:
    """`check_places` where standard output is the guest's. Raises BadInput."""
    if json_dest == STDOUT:
        raise BadInput("--json -: standard output is the guest's; name a file")
    check_places(json_dest, *files)


def write_end(dest: str | None, command: str, program: str, ended: str, **counts: int) -> None:
    """How a guest that was run for itself ended, as JSON where it is asked for."""
    value = {"command": command, "program": program, "ended": ended, "counts": counts}
    write_json(dest, document(schema="bootstrap-ended/1", **value))


def show(lines: Iterable[str], dest: str | None, value: object) -> None:
    """Lines for people, then `value` as JSON where `dest` asks for it.

    With JSON on standard output nothing else is printed there.
    """
    if dest != STDOUT:
        say(lines)
    write_json(dest, value)


def show_page(page: Callable[..., str], dest: str | None, value: Callable[[], object]) -> None:
    """A page for people, then `value` as JSON where `dest` asks for it; as `each` does."""
    view = functools.partial(print_page, page, for_people(dest))
    if dest is None:
        view()
    else:
        each(view, lambda: write_json(dest, value()))


def for_people(*dests: str | None) -> TextIO:
    """Standard output; standard error where one of the outputs has that."""
    return sys.stderr if STDOUT in dests else sys.stdout


def print_page(page: Callable[..., str], out: TextIO) -> None:
    """Print a page as suits the stream: `page` has the options of `bootstrap.report.to_text`."""
    style = style_for(out, os.environ)
    known = out.isatty() or "COLUMNS" in os.environ
    width = style.width() if known else None
    out.write(page(colour=style.colour, width=width, unicode=style.unicode))
    out.flush()


def check_places(*files: str | None, folder: str | None = None) -> None:
    """Raise BadInput, before any work is done, where `files` could not be written after it.

    So far as that is known, also where one of them, or `folder`, would take another's place.
    """
    for name in filter(lambda name: name is not None and name != STDOUT, files):
        _check_place(str(name))
    taken: set[Path] = set()
    for name in (folder, *files):
        place = Path(name or STDOUT).resolve()
        if name in (None, STDOUT) or (place.exists() and not (place.is_file() or place.is_dir())):
            continue  # streams and devices take what comes
        if place in taken:
            raise BadInput(f"{name}: is named for two outputs; name another place for one of them")
        taken.add(place)


_WRITTEN = ("json", "junit", "html", "markdown", "output", "report_to", "svg", "effects")
"""Options that name a file to be written."""


def check_inputs(given: Mapping[str, object]) -> None:
    """Raise BadInput where one file is named for an output and, by another option or argument, for
    something to be read: a slip in a command line must not cost it."""
    written = [
        dest
        for name in _WRITTEN
        if isinstance(dest := given.get(name), str) and os.path.isfile(dest)
    ]
    for name, value in given.items():
        for text in value if isinstance(value, list) else [value]:
            if name in _WRITTEN or not isinstance(text, str) or not os.path.isfile(text):
                continue
            for dest in written:
                if os.path.samefile(text, dest):
                    _check_place(dest)  # it may be worse
                    raise BadInput(f"{dest}: is read by this command; name another file to write")


def _check_place(dest: str) -> None:
    if not dest:
        raise BadInput("'' names no file: name one, or - for standard output")
    try:
        place = Path(dest).resolve()
        if not place.is_dir() and not place.parent.is_dir():
            folder = Path(dest).parent
            raise BadInput(f"{dest}: there is no folder {folder}; make it, or name another")
        if _is_other(dest, place):
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        else:
            with _beside(place):
                pass
    except (OSError, RuntimeError, ValueError) as error:
        raise _unwritable(dest, error) from None


def check_output_folder(name: str | None, option: str = "--output") -> None:
    """Raise BadInput, before any work is done, unless `name` is a new or an empty folder.

    One that can be made, and a file in it; nothing of that stays.
    """
    if name is None:
        return
    if not name:
        raise BadInput(f"{option} '': names no folder")
    folder, new = Path(name), list[Path]()
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise BadInput(f"{option} {name}: is not empty; name a new or an empty folder")
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{option} {name}: is a file; name a new or an empty folder")
        new = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with _beside(folder / "file"):
            pass
    except OSError as error:
        raise BadInput(f"{option} {name}: cannot be used: {error.strerror}") from error
    finally:
        with signals.held, contextlib.suppress(OSError):
            for place in new:
                place.rmdir()


def write_text(dest: str, text: str, *, stdout: TextIO | None = None) -> None:
    """Write `text` as UTF-8 to the file `dest`, or to standard output when `dest` is `-`.

    A regular file is written beside its place and renamed over it, so that what was there is lost
    only when the new content is whole. A symlink is followed; its target is what gets replaced.
    What is not a regular file (/dev/stdout, a pipe) is written to as it is.
    Raises BadInput, naming the file and the cause, when it cannot be written; a reader of
    standard output that went away raises BrokenPipeError as usual.
    """
    if dest == STDOUT:
        out = stdout or sys.stdout
        with _standard_output():
            out.write(text)
            out.flush()
    else:
        _write(dest, (text.encode("utf-8"),))


def write_pieces(dest: str, pieces: Iterable[bytes]) -> None:
    """Write bytes as they come, without holding them all; otherwise as `write_text`."""
    if dest != STDOUT:
        _write(dest, pieces)
        return
    with _standard_output():
        sys.stdout.flush()
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise BadInput(f"standard output: cannot be written: {error.strerror}") from error


def _write(dest: str, pieces: Iterable[bytes]) -> None:
    try:
        place = Path(dest).resolve()
        is_other = _is_other(dest, place)
    except (OSError, RuntimeError, ValueError) as error:
        # RuntimeError: a loop of symlinks (Python 3.11, 3.12); ValueError: a NUL in the name.
        raise _unwritable(dest, error) from error
    # Here the pieces are made, too: what is wrong with them is not about the file.
    try:
        if is_other:
            with place.open("wb") as stream:
                stream.writelines(pieces)
        else:
            _replace(place, pieces)
    except OSError as error:
        raise _unwritable(dest, error) from error


def _is_other(dest: str, place: Path) -> bool:
    """Whether it is written to as it is. Raises BadInput for what is not written to at all."""
    if place.is_dir():
        raise BadInput(f"{dest}: is a directory; name a file, or - for standard output")
    if not place.is_file():
        return place.exists()
    from bootstrap.trace.store import FORMAT

    # A slip in a command line must not cost a recording.
    if FORMAT.begins(dest):
        raise BadInput(f"{dest}: is a trace; name another file")
    return False


def _unwritable(dest: str, error: Exception) -> BadInput:
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return BadInput(
        f"{dest}: cannot be written: {cause}; a file that was there is unchanged. "
        "Name another place, or - for standard output"
    )


@contextlib.contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A new file beside a place, for the block only. Raises OSError."""
    beside = None
    try:
        with signals.held:
            handle, beside = tempfile.mkstemp(
                prefix=f".{place.name[:50]}.", suffix=".new", dir=place.parent
            )
            os.close(handle)
        yield Path(beside)
    finally:
        if beside is not None:
            with signals.held, contextlib.suppress(OSError):
                os.unlink(beside)


def _replace(place: Path, pieces: Iterable[bytes]) -> None:
    with _beside(place) as beside:
        with beside.open("wb") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(beside, _mode(place))
        os.replace(beside, place)


def _mode(place: Path) -> int:
    """The mode of the file to be replaced, else what the umask leaves of rw-rw-rw-."""
    try:
        return stat.S_IMODE(place.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def write_files(folder: Path, files: Iterable[tuple[str, bytes, int]]) -> None:
    """Write all of them (path, content, mode) below a new or an empty folder, or none of them.

    Otherwise as `write_file`.
    """
    begun: list[Path] = []
    try:
        for tree_path, content, mode in files:
            begun.append(folder / tree_path)
            write_file(folder, tree_path, content, mode)
    except BaseException:
        with signals.held:
            for place in reversed(begun):
                inside = [up for up in place.parents if folder in up.parents]
                for gone in (place.unlink, *(up.rmdir for up in inside)):
                    with contextlib.suppress(OSError):  # not there, or not empty
                        gone()
        raise


def write_file(folder: Path, tree_path: str, content: bytes, mode: int) -> None:
    """Write one file below `folder`: beside its place, then renamed. Raises BadInput.

    `tree_path` is relative, `/`-separated and without `..`; anything else is refused.
    """
    parts = tree_path.split("/")
    apart = (os.sep, os.altsep) if os.altsep else ()  # on Windows; elsewhere \ is like any other
    if not all(part not in ("", ".", "..") and not any(s in part for s in apart) for part in parts):
        raise BadInput(f"{tree_path}: not a path that can be written below a folder")
    place = folder.joinpath(*parts)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.parent.resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"{place}: leads out of {folder}")
        _replace(place, (content,))
        os.chmod(place, mode)
    except OSError as error:
        raise BadInput(f"{place}: cannot be written: {error.strerror}") from error
