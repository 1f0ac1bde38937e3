"""Exports of traces, read by readers of the formats and compared with what the trace says."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.instruments import default_engine
from bootstrap.timeline.export.drcov import counts, drcov
from bootstrap.timeline.export.perfetto import axis, perfetto
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.calls import CallFilter
from bootstrap.trace.coordinates import have_pid
from bootstrap.trace.log import log
from bootstrap.trace.store import Trace
from bootstrap.trace.views import files_graph
from tests.cli.command import bootstrap
from tests.instruments.guest import CODE, Program
from tests.timeline.export.readers import read_chrome, read_dot, read_drcov, read_strace
from tests.trace import recorded


def strace(opened: Trace, *pids: int) -> str:
    return "".join(f"{line}\n" for line in log(opened, CallFilter(opened, pids=pids)))


def busy(tmp_path: Path, abi: str) -> Path:
    place = tmp_path / "busy"
    recorded.record(recorded.busy(abi), place, files=recorded.busy_files(abi), stdin=[b"12345678"])
    return place


# strace


def test_strace_has_every_call_and_every_end(opened: Trace) -> None:
    found = read_strace(strace(opened))
    # The execve that starts a first process is nobody's call, but strace shows it.
    assert len([call for _, call, _ in found if call]) == opened.events + len(opened.runs)
    ends = [pid for pid, call, _ in found if not call]
    assert sorted(ends) == sorted({p.pid for p in opened.programs})


def test_a_name_makes_no_line_and_no_escape(tmp_path: Path) -> None:
    """A file is called as a program likes: with a line end and a call of its own, and a colour."""
    guest = Program("i386")
    guest.call("open", guest.text(b"/a>\x1b[31m\n[pid 9] b\xe2\x80\xae"), 0o102, 0o644)
    guest.call("write", 3, guest.text(b"x"), 1).exit(0)
    recorded.record(guest, tmp_path / "t", argv=(b"/guest", b"\x1b[2J\n"))
    with trace.open(tmp_path / "t") as opened:
        lines = list(log(opened, CallFilter(opened)))
        graph = files_graph(opened, "dot")
    assert len(lines) == 5 and all(line.isprintable() for line in lines)
    assert r"write(3</a\76\x1b[31m\n[pid 9] b\u202e>, " in lines[2]
    assert all(line.isprintable() for line in graph.splitlines())
    read_dot(graph)


def test_strace_of_one_process(opened: Trace) -> None:
    every = strace(opened).splitlines()
    one = strace(opened, 4).splitlines()
    assert one == [line for line in every if line.startswith("[pid     4] ")] != []


def test_a_line_that_is_not_straces_is_refused(opened: Trace) -> None:
    text = strace(opened, 4)
    with pytest.raises(ValueError, match="no line of strace"):
        read_strace(text.replace("exited", "left"))


# perfetto


def test_slices_nest_as_the_processes_do(traveller: Timeline) -> None:
    opened = traveller.trace
    chart = read_chrome(b"".join(perfetto(traveller)))
    by_name = {
        (b.event["args"]["run"], b.event["args"]["pid"], b.event["args"]["exec"]): b  # type: ignore[index]
        for b in chart.bars
    }
    bars = [by_name[p.run, p.pid, p.ordinal] for p in opened.programs]
    assert len(bars) == len(chart.bars) == len(opened.programs)
    for program, bar in zip(opened.programs, bars, strict=True):
        total = traveller.total(program.id)
        assert bar.event["args"]["instructions"] == total  # type: ignore[index]
        assert bar.end - bar.begin == total + sum(b.end - b.begin for b in bar.inside)
        if program.parent is not None:
            parent = bars[program.parent - 1]
            if program.ordinal:
                assert bar.begin == parent.end
            else:
                assert bar in parent.inside


def test_a_child_is_at_the_place_of_its_fork(traveller: Timeline) -> None:
    """The instruction before it, found by seeking, is the system call that returned its pid."""
    opened, found = traveller.trace, axis(traveller)
    seen = 0
    for one in found.values():
        for row, executed in one.forks.items():
            traveller.seek(one.program.id, executed - 1)
            assert traveller.process.memory.read_upto(traveller.pc, 2) == b"\xcd\x80"
            before = traveller.event
            traveller.step()
            assert dict(traveller.registers())["eax"] == opened.program(row).pid
            assert before == opened.program(row).first_event - 1
            seen += 1
    assert seen == sum(p.ordinal == 0 for p in opened.programs) > 0


def test_flows_go_from_the_writer_to_who_reads_or_runs(traveller: Timeline) -> None:
    chart = read_chrome(b"".join(perfetto(traveller)))
    hashes = {sha256 for sha256, _ in traveller.trace.hashes().values()}
    names = set()
    for start, end in chart.flows:
        told = start["args"]
        assert isinstance(told, dict) and told["sha256"] in hashes
        writer = chart.at(int(str(start["ts"]))).event["args"]
        reader = chart.at(int(str(end["ts"]))).event["args"]
        assert isinstance(writer, dict) and isinstance(reader, dict)
        assert told["sha256"] in [one["sha256"] for one in writer["writes"]]
        used = [one["sha256"] for one in reader["reads"]]
        assert told["sha256"] in [*used, reader["image"]]
        names.add(start["name"])
    assert {"/hex0", "/hex1", "/hex2", "/M0", "/hello"} <= names


@pytest.mark.parametrize("abi", ["i386", "x86_64"])
def test_a_busy_process(tmp_path: Path, abi: str) -> None:
    with trace.open(busy(tmp_path, abi)) as opened:
        traveller = Timeline(opened, default_engine())
        chart = read_chrome(b"".join(perfetto(traveller)))
        traveller.close()
    assert [bar.event["name"] for bar in chart.bars] == ["1 guest", "2 guest (forked)", "2 second"]
    assert [bar.depth for bar in chart.bars] == [0, 1, 1]


@pytest.mark.parametrize(
    "change, told",
    [({"dur": 1}, "nest"), ({"ts": -1}, "takes no time"), ({"ph": "Q"}, "no event")],
)
def test_a_wrong_chart_is_refused(
    traveller: Timeline, change: dict[str, object], told: str
) -> None:
    chart = json.loads(b"".join(perfetto(traveller)))
    parent = next(e for e in chart["traceEvents"] if e["name"] == "3 kaem")
    parent.update(change)
    if "dur" in change:
        parent["dur"] = 9_000
    with pytest.raises(ValueError, match=told):
        read_chrome(json.dumps(chart).encode())


# drcov


def test_blocks_are_the_instructions_that_ran(traveller: Timeline) -> None:
    """Each byte of them in one block, and no other."""
    opened = traveller.trace
    counted = counts(traveller, opened.programs)
    found = read_drcov(b"".join(drcov(counted)))
    paths = [module.path for module in found.modules]
    assert {"/hex0-seed", "/kaem", "/hex1", "/hello"} <= set(paths)
    for number, (module, one) in enumerate(zip(found.modules, counted, strict=True)):
        mine = sorted((start, size) for of, start, size in found.blocks if of == number)
        assert all(a + size <= b for (a, size), (b, _) in pairwise(mine)), "blocks overlap"
        covered = {module.base + start + n for start, size in mine for n in range(size)}
        decoder, image = one.image.decoder, one.image
        ran: set[int] = set()
        for address, _ in one.ran():
            offset = image.offset(address)
            assert offset is not None
            length = len(decoder.one(image.content[offset : offset + 16], address).code)
            ran.update(range(address, address + length))
        assert covered == ran
        assert module.entry in {module.base + start for start, _ in mine}


def test_blocks_end_at_jumps_and_where_jumps_lead(tmp_path: Path) -> None:
    guest = Program("i386")
    guest.raw("b903000000")  # mov ecx, 3
    guest.label("loop").raw("90").raw("49").raw("85c9").jump("loop", "flag not zero")
    guest.raw("90").jmp("end").raw("cccc")
    guest.label("end").exit(0)
    place = tmp_path / "t"
    recorded.record(guest, place)
    with trace.open(place) as opened:
        traveller = Timeline(opened, default_engine())
        found = read_drcov(b"".join(drcov(counts(traveller, opened.programs))))
        traveller.close()
    assert [module.path for module in found.modules] == ["/guest"]
    base = found.modules[0].base
    # mov | nop dec test jnz | nop jmp | (never: int3 int3) | mov mov int
    at = [(base + start - CODE, size) for _, start, size in found.blocks]
    assert at == [(0, 5), (5, 10), (15, 6), (23, 12)]


def test_coverage_of_one_process(traveller: Timeline) -> None:
    # The seed makes itself: pid 4 runs the same bytes under another path.
    for pid, paths in ((1, ["/hex0-seed"]), (4, ["/kaem", "/hex0"])):
        found = read_drcov(b"".join(drcov(counts(traveller, have_pid(traveller.trace, pid)))))
        assert [module.path for module in found.modules] == paths


def test_a_changed_drcov_file_is_refused(traveller: Timeline) -> None:
    content = b"".join(drcov(counts(traveller, have_pid(traveller.trace, 1))))
    for changed in (content[:-1], content.replace(b"VERSION: 2", b"VERSION: 3"),
                    content[:-2] + b"\x09\x00"):  # fmt: skip
        with pytest.raises(ValueError):
            read_drcov(changed)


# dot


def test_dot_is_a_graph_of_the_files(opened: Trace) -> None:
    text = files_graph(opened, "dot")
    nodes, edges = read_dot(text)
    hex1 = next(name for name, label in nodes.items() if label.startswith('"/hex1\\n'))
    writers = [a for a, b in edges if b == hex1]
    assert len(writers) == 1 and "hex0" in nodes[writers[0]]
    with pytest.raises(ValueError, match="an edge to nowhere"):
        read_dot(text.replace(f"  {hex1} [", "  another ["))


# The command


@pytest.mark.parametrize("name", ["strace", "dot", "perfetto", "drcov"])
def test_the_command_writes_the_same_to_a_file_and_to_stdout(
    place: Path, tmp_path: Path, name: str
) -> None:
    dest = tmp_path / "out"
    done = bootstrap("trace", "export", place, "--format", name, "-o", dest)
    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == [dest]
    if name != "drcov":
        again = bootstrap("trace", "export", place, "--format", name, "-o", "-")
        assert again.stdout == dest.read_text()
    else:
        assert len(read_drcov(dest.read_bytes()).blocks) > 100


@pytest.mark.parametrize("name", ["perfetto", "drcov"])
def test_both_hot_paths_export_the_same(tmp_path: Path, name: str) -> None:
    place, written = busy(tmp_path, "i386"), []
    for hot_path in ("auto", "python"):
        done = bootstrap(
            "trace", "export", place, "--format", name, "-o", tmp_path / "out",
            env={"BOOTSTRAP_HOT_PATH": hot_path},
        )  # fmt: skip
        assert (done.status, done.stderr) == (0, "")
        written.append((tmp_path / "out").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize(
    "args, told",
    [
        (("--format", "strace", "--pid", "99"), "has no pid 99; there are 1 to 12"),
        (("--format", "drcov", "--pid", "99"), "has no pid 99; there are 1 to 12"),
        (("--format", "perfetto", "--pid", "1"), "leave it out"),
        (("--format", "strace", "--count", "1"), "--count goes with --format tenet only"),
        (("--format", "tenet"), "name a program with --pid N, or a place with --from PLACE"),
        (("--format", "tenet", "--pid", "1", "--count", "0"), "--count 0: at least 1"),
        (("--format", "tenet", "--pid", "1"), "allow more with --most"),
        (("--format", "tenet", "--from", "3@99999"), "there is no such place"),
        (("--format", "tenet", "--from", "3@11468"), "its last instruction, 11,468, has no line"),
    ],
)
def test_wrong_options(place: Path, tmp_path: Path, args: tuple[str, ...], told: str) -> None:
    dest = tmp_path / "out"
    dest.write_text("what was there before")
    done = bootstrap("trace", "export", place, "-o", dest, *args)
    assert done.status == 2
    assert told in done.one_line()
    assert dest.read_text() == "what was there before"
