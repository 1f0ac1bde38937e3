"""Rebuilds what a step file describes from its seed, in the emulator, and has it judged.

The one way of the data: source tree -> guest file system -> machine -> products -> the core, which
decides, and a report, which explains.
"""

from __future__ import annotations

import functools
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

import bootstrap
from bootstrap.core.abi import LinuxError
from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.files import Stream
from bootstrap.core.machine import RunResult
from bootstrap.core.paths import PathBase
from bootstrap.core.release import EntryPoint, Tree, as_bytes
from bootstrap.core.verdict import Findings, Outcome
from bootstrap.documents import BadValue
from bootstrap.instruments import Engine
from bootstrap.known import Known, StepFile
from bootstrap.known.lookup import known_files
from bootstrap.linux import faults
from bootstrap.linux.events import Event, Exited, Listener
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from bootstrap.report import (
    Catalogue,
    Failure,
    MemoUse,
    NameAndVersion,
    Product,
    ReleaseFiles,
    Report,
    RunFacts,
    SourceInfo,
    Tool,
    Totals,
    believing,
    judge,
    to_json_text,
)
from bootstrap.runs.ahead import Ahead
from bootstrap.runs.deciding import core_tree, proposal, settled
from bootstrap.runs.modelled import opinions
from bootstrap.runs.units import Contradiction, DrivenMachine, StoppedEarly, started
from bootstrap.sources import Resolved, SourceTree, guest_view
from bootstrap.sources.tree import as_lower
from bootstrap.trace.lineage import ProcessRecord, tree_path
from bootstrap.trace.provenance import Provenance

if TYPE_CHECKING:
    from bootstrap.trace.recorder import Recorder

TAIL = 64 << 10
"""Bytes of the guest's output that are kept, from its end."""
_LINES = 6
"""Lines of it that a failure shows."""


@dataclass(frozen=True)
class Observed:
    """What a run did, but for its products: plain data that nobody has judged yet."""

    engine: Mapping[str, str]
    """As `Engine.describe` has it."""
    totals: Totals
    statuses: tuple[int, ...]
    """The wait status of each command that ended."""
    finished: bool
    """Whether the last command that was started ended."""
    gone: tuple[str, ...]
    """Files that it was given, and that are no files any more."""
    failure: Failure | None
    records: tuple[ProcessRecord, ...]
    log: bytes
    """The end of what the guest printed."""
    jobs: int = 1
    """So many processes ran it."""
    memo: MemoUse | None = None

    @property
    def exit_status(self) -> int | None:
        """The wait status of the last command started; None when it never ended."""
        return self.statuses[-1] if self.statuses and self.finished else None

    def __post_init__(self) -> None:
        for index, record in enumerate(self.records):
            if record.started_by is not None and not 0 <= record.started_by < index:
                raise BadValue("is no earlier process", "records", index, "started_by")


@dataclass(frozen=True)
class Rebuilt:
    """A finished run: the judgement, and the content of every product by tree path."""

    report: Report
    products: dict[str, tuple[bytes, int]]
    """Tree path -> (content, permission bits)."""
    log: bytes
    """The end of what the guest printed."""
    findings: Findings | None = None
    """What the core found of the same run; None where no step file of ours says what should be."""
    unrecorded: BadInput | None = None
    """Why there is no trace of it, where there should be one."""
    failure: Failure | None = None
    """Why it stopped before its end, in the machine's words."""

    def require_recorded(self) -> None:
        """Raise BadInput where there should be a trace and is none."""
        if self.unrecorded is not None:
            raise self.unrecorded


class _Tail:
    """Keeps the end of what the guest prints."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        if len(self.data) > 2 * TAIL:
            del self.data[:-TAIL]
        return len(data)


def rebuild(
    resolved: Resolved,
    entry_name: str,
    engine: Engine,
    limits: RunLimits | None = None,
    listeners: Sequence[Listener] = (),
    clock: Callable[[], float] = time.monotonic,
    recorder: Recorder | None = None,
    units: Ahead | None = None,
    fail_fast: bool = False,
) -> Rebuilt:
    """Run every command of the entry, and judge what came of it; `recorder` sees all of it.

    `units` has some run ahead, or by earlier runs; `fail_fast` ends the run at the first mismatch.
    A guest that fails is a finding, shown in the report. Raises BadInput (entry, tree) and
    KeyboardInterrupt.
    """
    modelled = opinions(resolved.step, resolved.tree)
    view, entry, kept = visible(resolved, entry_name)
    made: dict[str, tuple[bytes, int]] = {}
    if fail_fast:
        listeners = [*listeners, _FailFast([*resolved.step.known(), *modelled])]

    def run(view: Tree, entry: EntryPoint) -> tuple[Observed, dict[str, Product]]:
        how = view, entry, kept, engine, limits, listeners, clock, recorder
        try:
            observed, products = observe(*how, units)
        except Contradiction:
            # Some process of ours lied. What it did here is thrown away with the run.
            observed, products = observe(*how)
        made.update(products)
        return observed, {
            path: Product(path, len(content), hashlib.sha256(content).hexdigest())
            for path, (content, _) in products.items()
        }

    return replace(weighed(resolved, entry_name, modelled, (view, entry), run), products=made)


def weighed(
    resolved: Resolved,
    entry_name: str,
    modelled: Sequence[Known],
    given: tuple[Tree, EntryPoint],
    run: Callable[[Tree, EntryPoint], tuple[Observed, dict[str, Product]]],
) -> Rebuilt:
    """What is to be said of a run that `run` makes, or has made elsewhere, on `given`.

    `modelled` as `opinions` has it, `given` as `visible`; the products are only named here.
    """
    ran: list[tuple[Observed, dict[str, Product]]] = []

    def outcome(view: Tree, entry: EntryPoint) -> Outcome:
        """The run, as the core hears of it."""
        observed, products = run(view, entry)
        ran.append((observed, products))
        files = {path: f.sha256 for path, f in view.files.items() if path not in observed.gone}
        files.update((path, product.sha256) for path, product in products.items())
        failure = observed.failure
        return Outcome(observed.statuses, files, None if failure is None else failure.message)

    findings = proposal(resolved.tree, resolved.step, entry_name, outcome)
    decided = bool(ran)
    if not decided:
        # It is no release: the run shows where it parts from one.
        outcome(*given)
    [(observed, products)] = ran
    report = settled(judged(resolved, entry_name, modelled, observed, products), findings, decided)
    return Rebuilt(believing(report), {}, observed.log, findings, failure=observed.failure)


def visible(resolved: Resolved, entry_name: str) -> tuple[Tree, EntryPoint, tuple[str, ...]]:
    """What a run is given: the files that the guest sees, the entry, and the answers among the
    files, which the run has only to leave where they are. Raises BadInput."""
    step = resolved.step
    entry = step.entry(entry_name)
    view = core_tree(guest_view(resolved.tree, step, entry, resolved.materials))
    point = EntryPoint(entry.name, entry.commands, entry.hidden, entry.cwd, entry.environment)
    return view, point, tuple(path for path in step.answers if path in step.materials)


def observe(
    view: Tree,
    entry: EntryPoint,
    kept: Sequence[str],
    engine: Engine,
    limits: RunLimits | None = None,
    listeners: Sequence[Listener] = (),
    clock: Callable[[], float] = time.monotonic,
    recorder: Recorder | None = None,
    units: Ahead | None = None,
) -> tuple[Observed, dict[str, tuple[bytes, int]]]:
    """Run every command of the entry on what `visible` gave: what happened, and the products.

    It knows nothing of what should come of it. Raises KeyboardInterrupt, and Contradiction where
    `units` gives a result that cannot be.
    """
    limits = limits or RunLimits()
    fs = OverlayFileSystem(as_lower(view), limits)
    tail = _Tail()
    provenance = Provenance()
    output = Stream(None, tail.write)
    streams = (Stream(lambda _count: b""), output, output)
    listeners = [provenance, *listeners]
    if units is None:
        machine = LinuxMachine(fs, engine, limits, listeners)
    else:
        machine = DrivenMachine(fs, engine, limits, listeners, units)
    if recorder is not None:
        streams = recorder.attach(machine, streams)
    began = clock()
    ended: RunResult | None = None
    failure: Failure | None = None
    statuses: list[int] = []
    try:
        for command in entry.commands:
            argv, environment, cwd = started(entry, command)
            ended = None
            ended = machine.run(argv[0], argv, environment, cwd, streams)
            statuses.append(ended.status)
            if ended.status:
                break
    except GuestFailed as error:
        failure = Failure(str(error), machine.current_pid, _last_lines(bytes(tail.data)))
    except LinuxError as error:
        failure = Failure(f"{command[0]} cannot be executed: {error}")
    finally:
        provenance.finish()
    if failure is None and ended is not None and ended.status and ended.fault is not None:
        lines = faults.describe(ended.fault)
        failure = Failure(
            f"{ended.fault_program} {lines[0]}",
            ended.fault_pid,
            (*lines[1:], *_last_lines(bytes(tail.data))),
        )
    files = {
        path.decode("utf-8", "surrogateescape").lstrip("/"): file for path, file in fs.changed()
    }
    for path in kept:
        if (left := _regular(fs, path)) is not None:
            left.load()
            files[path] = left
    observed = Observed(
        engine.describe(),
        Totals(machine.processes, machine.ended_calls, round(clock() - began, 3)),
        tuple(statuses),
        ended is not None,
        tuple(path for path in view.files if not _regular(fs, path)),
        failure,
        tuple(provenance.records),
        bytes(tail.data),
        1 if units is None else units.jobs,
        None if units is None else units.memo_use(),
    )
    if units is not None:
        units.finish(observed.exit_status)
    return observed, {path: (f.contents(), f.mode & 0o777) for path, f in files.items()}


class _FailFast:
    """Ends the run when a program has ended that left another file than the known one. A listener;
    what a program wrote at a known path is final once it has ended, in every bootstrap we know."""

    def __init__(self, known: Sequence[Known]) -> None:
        self._known: dict[str, set[str]] = {}
        for value in known:
            self._known.setdefault(value.path, set()).add(value.sha256)
        self._provenance = Provenance()

    def __call__(self, event: Event) -> None:
        self._provenance(event)
        if isinstance(event, Exited):
            records = self._provenance.records
            last = next(r for r in reversed(records) if r.pid == event.pid)
            # M2-Mesoplanet empties the file first that a child of it makes then.
            versions = (version for record in records for version in record.writes)
            now = {v.path: v for v in sorted(versions, key=attrgetter("order"))}
            for name in dict.fromkeys(version.path for version in last.writes):
                path = tree_path(name)
                if self._known.get(path, set()) - {now[name].sha256}:
                    raise StoppedEarly(f"stopped at the first mismatch, {path} (--fail-fast)")


def judged(
    resolved: Resolved,
    entry_name: str,
    modelled: Sequence[Known],
    observed: Observed,
    products: Mapping[str, Product],
) -> Report:
    """What is to be said of a run on `resolved`; `modelled` as `opinions` has it."""
    step, tree = resolved.step, resolved.tree
    source = replace(source_info(tree, step), in_place_of=resolved.in_place_of)
    facts = RunFacts(
        tool=tool_info(observed.engine),
        source=source,
        arch=step.arch,
        entry=entry_name,
        totals=observed.totals,
        name=step.name,
        exit_status=observed.exit_status,
        failure=observed.failure,
        catalogue=Catalogue(step.file.rpartition("/")[2], step.sha256) if step.sha256 else None,
        jobs=observed.jobs,
        memo=observed.memo,
    )
    hidden, differing = step.entry(entry_name).hidden, resolved.materials
    files = ReleaseFiles(
        known={path: sha for path, sha in step.materials.items() if path not in hidden},
        missing=differing.missing,
        changed=tuple(change.path for change in differing.changed),
        extra=(*differing.stale, *differing.extra),
        seeds=tuple(seed.path for seed in step.seeds.values() if seed.path not in hidden),
    )
    return judge(
        [*step.known(), *modelled],
        products,
        observed.records,
        facts=facts,
        materials=files,
        about=functools.partial(_about, resolved),
    )


def _about(resolved: Resolved, path: str, sha256: str) -> Iterator[str]:
    """Whose a wrong product is, and whether a changed answers file of the tree asks for it."""
    if text := known_files().text(sha256):
        yield f"this is {text}"
    name = resolved.step.answers_from
    own = resolved.tree.files.get(name)
    if own is None or name not in {change.path for change in resolved.materials.changed}:
        return
    row = re.search(rb"^([0-9a-f]{64}) [ *]%s$" % re.escape(path.encode()), own.data, re.MULTILINE)
    if row is None:
        yield f"the tree's own {name} does not name it"
    else:
        asks = "asks for this" if row[1].decode() == sha256 else "asks for another"
        yield f"the tree's own {name} {asks}"


def record_rebuild(
    name: str,
    resolved: Resolved,
    entry_name: str,
    engine: Engine,
    limits: RunLimits | None = None,
    listeners: Sequence[Listener] = (),
) -> Rebuilt:
    """`rebuild`, and a trace of it in the file `name`, the report in it.

    Raises what rebuild raises, and BadInput when the file cannot be written; once the run is over,
    the result says that (`Rebuilt.unrecorded`): its verdict must not be lost.
    """
    from bootstrap.trace.recorder import Recorder
    from bootstrap.trace.store import header, recording

    limits = limits or RunLimits()
    rebuilt = None
    try:
        with recording(name) as writer:
            recorder = Recorder(writer)
            rebuilt = rebuild(resolved, entry_name, engine, limits, listeners, recorder=recorder)
            recorder.finish()
            report = rebuilt.report
            source, failure = report.source, rebuilt.failure
            writer.finish(
                {
                    **header("verify", engine, limits, (0, 1, 1)),
                    "source": " ".join(
                        filter(None, (resolved.step.name, source.release, f"({source.kind})"))
                    ),
                    "source_digest": source.tree_digest or "",
                    "arch": resolved.step.arch,
                    "entry": entry_name,
                    "result": report.result,
                    "failure": failure.message if failure is not None else "",
                    "report": to_json_text(report),
                }
            )
    except BadInput as error:
        if rebuilt is None:
            raise
        return replace(rebuilt, unrecorded=error)
    return rebuilt


def _regular(fs: OverlayFileSystem, path: str) -> LazyFile | None:
    """The regular file at a tree path, no link followed."""
    try:
        inode = fs.resolve(PathBase(fs.root, fs.root), b"/" + as_bytes(path), follow=False)
    except LinuxError:
        return None
    return inode if isinstance(inode, LazyFile) else None


def tool_info(engine: Mapping[str, str]) -> Tool:
    """This program and its engine (`Engine.describe`), in the judge's terms."""
    used = NameAndVersion(engine["name"], engine["version"])
    return Tool("bootstrap", bootstrap.__version__, used, engine["hot_path"])


def source_info(tree: SourceTree, step: StepFile) -> SourceInfo:
    """Where a tree came from, in the judge's terms."""
    return SourceInfo(
        kind=tree.kind,
        release=step.release,
        sha256=tree.archive_sha256,
        tree_digest=tree.digest,
        label=tree.label,
    )


def _last_lines(log: bytes) -> tuple[str, ...]:
    lines = log.decode("utf-8", "replace").splitlines()[-_LINES:]
    return ("the guest's last words:", *(f"  {line}" for line in lines)) if lines else ()
