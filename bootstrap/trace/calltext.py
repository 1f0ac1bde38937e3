"""One recorded call in strace's notation, as far as a trace knows it: arguments, not memory."""

from collections.abc import Mapping, Sequence

from bootstrap.linux import strace_memory as stored
from bootstrap.linux import strace_values as values
from bootstrap.linux.row import Kind, Row
from bootstrap.linux.strace import left_out, line, result_text
from bootstrap.linux.table import table_for
from bootstrap.trace.columns import Calls

_IN_MEMORY = frozenset((*stored.BEFORE, *stored.AFTER))
NO_RETURN = frozenset(("exit", "exit_group"))


def row_of(abi: str, number: int) -> Row | None:
    """The row of a call, or None for a number that only a damaged trace has."""
    return table_for(abi).get(number)


def arity(row: Row) -> int:
    """How many registers the call has."""
    return len(row.args)


def signed(result: int, word: int) -> int:
    """A result as the kernel means it: -errno where it failed."""
    top = 1 << 8 * word
    return result - top if result > top - 4096 else result


def call_text(
    abi: str,
    number: int,
    registers: Sequence[int],
    result: int,
    word: int,
    descriptors: Mapping[int, str],
    path: str | None = None,
    prefix: str = "",
) -> str:
    """A line. `path` stands for the (last) path argument; `descriptors` names open ones."""
    row = row_of(abi, number)
    if row is None:
        shown = ", ".join(f"{value:#x}" for value in registers)
        return line(f"call_{number}({shown})", str(signed(result, word)), prefix)
    args = row.arguments(registers)
    texts: list[str] = []
    paths = [index for index, arg in enumerate(row.args) if arg.kind is Kind.PATH]
    for index, arg in enumerate(row.args):
        value = args[index]
        if left_out(row, args, index):
            continue
        if path is not None and paths and index == paths[-1]:
            texts.append(path)
        elif arg.kind in _IN_MEMORY:
            texts.append(values.address(value))
        else:
            text = values.plain(arg.kind, value)
            if arg.kind in (Kind.FD, Kind.DIRFD) and value in descriptors:
                text += f"<{descriptors[value]}>"
            texts.append(text)
    end = signed(result, word)
    told = "?" if row.name in NO_RETURN else result_text(row, args, end)
    opens = any(arg.kind in (Kind.OPEN_FLAGS, Kind.OPEN_FLAGS_ARM) for arg in row.args)
    if (opens or row.name == "creat") and end in descriptors and end >= 0:
        told += f"<{descriptors[end]}>"
    return line(f"{row.name}({', '.join(texts)})", told, prefix)


def plain_text(abi: str, calls: Calls, index: int) -> str:
    """A call by its registers alone, without a column for the result."""
    number, result = calls.values(0)[index], calls.values(4)[index]
    row = row_of(abi, number)
    registers = calls.arguments(index, 3 if row is None else arity(row))
    name = f"call_{number}" if row is None else row.name
    shown = ", ".join(f"{v:#x}" if v > 9 else str(v) for v in registers)
    told = "?" if name in NO_RETURN else signed(result, calls.word)
    return f"{name}({shown}) = {told}"
