"""Writes what a command made: to standard output, or to a file that is whole or untouched."""

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from bootstrap.errors import BadInput

STDOUT = "-"


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
        try:
            out.write(text)
            out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise BadInput(f"standard output: cannot be written: {error.strerror}") from error
        return
    _write(dest, (text.encode("utf-8"),))


def write_pieces(dest: str, pieces: Iterable[bytes]) -> None:
    """Write bytes as they come, without holding them all; otherwise as `write_text`."""
    if dest != STDOUT:
        _write(dest, pieces)
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise BadInput(f"standard output: cannot be written: {error.strerror}") from error


def _write(dest: str, pieces: Iterable[bytes]) -> None:
    try:
        place = Path(dest).resolve()
        is_other = place.exists() and not place.is_file()
        if place.is_dir():
            raise BadInput(f"{dest}: is a directory; name a file, or - for standard output")
        spare_trace(dest)
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


def spare_trace(dest: str) -> None:
    """Raise BadInput where `dest` is a trace: a slip in a command line must not cost a recording.

    Raises OSError where it is a file that cannot be read.
    """
    if not Path(dest).is_file():
        return
    from bootstrap.trace.schema import is_trace

    if is_trace(dest):
        raise BadInput(f"{dest}: is a trace, and stays one; name another file")


def _unwritable(dest: str, error: Exception) -> BadInput:
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return BadInput(
        f"{dest}: cannot be written: {cause}; a file that was there is unchanged. "
        "Name another place, or - for standard output"
    )


def _replace(place: Path, pieces: Iterable[bytes]) -> None:
    handle, beside = tempfile.mkstemp(
        prefix=f".{place.name[:50]}.", suffix=".new", dir=place.parent
    )
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(beside, _mode(place))
        os.replace(beside, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _mode(place: Path) -> int:
    """The mode of the file to be replaced, else what the umask leaves of rw-rw-rw-."""
    try:
        return stat.S_IMODE(place.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def write_file(folder: Path, tree_path: str, content: bytes, mode: int) -> None:
    """Write one file below `folder`: beside its place, then renamed. Raises BadInput.

    `tree_path` is relative, `/`-separated and without `..`; anything else is refused.
    """
    parts = tree_path.split("/")
    if not all(part and part not in (".", "..") and "\\" not in part for part in parts):
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
