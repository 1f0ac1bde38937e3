"""The verdict: whether a tree is the release that it should be, and makes what it should make.

Claims: `decide` alone makes a `Verdict`, and says `verified` only where every material is there
with the SHA-256 of the step file; the guest saw these files and nothing else; each command of the
entry ended with status 0; every known value of every artifact, at least one of them promised by the
release, is the SHA-256 of the file found there; and no material is another than before. It was run
on the core's own machine, with its own `Cpu`. Of a run made elsewhere `decide` makes the same
findings, as a `Proposal`, which nothing turns into a `Verdict`.
Relies on: all of the core; Unicorn, and this host, execute instructions as the architectures say.
Tests that would fail if it lied: tests/core/test_verdict.py, test_changed_bytes.py, test_whole.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Literal

from bootstrap.core.abi import LinuxError
from bootstrap.core.errors import ExitStatus, GuestFailed
from bootstrap.core.files import Directory, RegularFile, Stream
from bootstrap.core.machine import Machine
from bootstrap.core.paths import FileSystem
from bootstrap.core.release import (
    EntryPoint,
    KnownValue,
    Release,
    Tree,
    as_bytes,
    as_text,
    compare_materials,
    shipped,
    visible_tree,
)

EMBEDDED = "embedded"
"""The name of the step file of what this package carries itself: it is no release of upstream's."""
Result = Literal["verified", "mismatch", "incomplete", "error", "answers-only", "as-pinned"]
EXIT_STATUS: dict[Result, ExitStatus] = {
    "verified": ExitStatus.DONE,
    **dict.fromkeys(("mismatch", "incomplete"), ExitStatus.DIFFERS),
    "error": ExitStatus.GUEST_FAILED,
    **dict.fromkeys(("answers-only", "as-pinned"), ExitStatus.LESS_THAN_ASKED),
}


@dataclass(frozen=True)
class Outcome:
    """What a runner says of a run. It was given nothing of what should come of it."""

    statuses: tuple[int, ...]
    """The wait status of each command that ended; the run stops at the first that is not 0."""
    files: Mapping[str, str]
    """SHA-256 of every regular file that is there at the end, by tree path."""
    failure: str | None = None
    """Why the guest was stopped, in a line."""


Runner = Callable[[Tree, EntryPoint], Outcome]
"""Runs the commands of an entry in a tree, which is all that the guest sees."""


def run_in_core(tree: Tree, entry: EntryPoint) -> Outcome:
    """The core's own runner: nobody listens, and what the guest prints is thrown away."""
    files = FileSystem()
    for path, file in tree.files.items():
        files.add_file(b"/" + as_bytes(path), file.data, 0o755 if file.executable else 0o644)
    for folder in tree.folders:
        files.add_directory(b"/" + as_bytes(folder))
    output = Stream(None, len)
    streams = (Stream(lambda _count: b""), output, output)
    machine = Machine(files)
    environment = [f"{name}={value}".encode() for name, value in entry.environment.items()]
    statuses: list[int] = []
    failure = None
    for command in entry.commands:
        argv = [word.encode() for word in command]
        try:
            ended = machine.run(argv[0], argv, environment, b"/" + entry.cwd.encode(), streams)
        except GuestFailed as error:
            failure = str(error)
            break
        except LinuxError as error:
            failure = f"{command[0]} cannot be executed: {error}"
            break
        statuses.append(ended.status)
        if ended.status:
            if ended.fault is not None:
                failure = f"{ended.fault_program}, pid {ended.fault_pid}: {ended.fault.reason}"
            break
    return Outcome(tuple(statuses), dict(_regular_files(files.root)), failure)


def _regular_files(root: Directory) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of every regular file."""
    waiting = [(root, "")]
    while waiting:
        directory, above = waiting.pop()
        for name in directory.names():
            inode, path = directory.lookup(name), above + as_text(name)
            if isinstance(inode, Directory):
                waiting.append((inode, f"{path}/"))
            elif isinstance(inode, RegularFile):
                yield path, inode.sha256()


@dataclass(frozen=True)
class ComparedFile:
    """A file for which values are known; `sha256` is None where there is no such file."""

    path: str
    sha256: str | None
    known: tuple[KnownValue, ...]

    @property
    def matches(self) -> bool:
        """It is there, and every known value is its SHA-256."""
        return {value.sha256 for value in self.known} == {self.sha256}

    @property
    def is_answer(self) -> bool:
        """Whether the release promises it."""
        return any(value.is_answer for value in self.known)


def compare(products: Mapping[str, str], known: Sequence[KnownValue]) -> tuple[ComparedFile, ...]:
    """Hold products (path -> SHA-256), of any run whatever, against known values. No verdict."""
    values: dict[str, list[KnownValue]] = {}
    for value in known:
        values.setdefault(value.path, []).append(value)
    return tuple(ComparedFile(path, products.get(path), tuple(values[path])) for path in values)


@dataclass(frozen=True)
class Findings:
    """All that a verdict, or a proposal, says."""

    result: Result
    claim: str
    """One sentence, which never says more than was compared."""
    reasons: tuple[str, ...]
    """Why it is not `verified`, the weightiest first."""
    artifacts: tuple[ComparedFile, ...]
    title: str
    arch: str
    entry: str
    tree_digest: str
    judged_by: str
    """Name of the step file or answers file."""
    judged_by_sha256: str

    @property
    def exit_status(self) -> ExitStatus:
        return EXIT_STATUS[self.result]


_DECIDE = object()


@dataclass(frozen=True)
class Verdict:
    """Made by `decide`, and by nobody else (dataclasses.replace is refused too)."""

    findings: Findings
    maker: InitVar[object]

    def __post_init__(self, maker: object) -> None:
        if maker is not _DECIDE:
            raise TypeError("only bootstrap.core.verdict.decide makes a Verdict")


@dataclass(frozen=True)
class Proposal:
    """What would be the verdict if the runner said what happened."""

    findings: Findings


def decide(
    tree: Tree, release: Release, entry: str | None = None, run: Runner = run_in_core
) -> Verdict | Proposal:
    """Compare the tree with the release, run it, and compare what came of it.

    A Verdict if it ran here, with any other runner a Proposal. A tree whose materials are not the
    release's is not run. A guest that fails is a finding. Raises BadInput: an entry that there is
    not, a file where a directory must be.
    """
    point = release.entry(entry)
    materials = release.materials_for(point)
    artifacts: tuple[ComparedFile, ...] = ()
    if differing := compare_materials(tree, materials):
        result: Result = "incomplete"
        reasons = _some("{} source files are not the release's, or not there", [*differing])
    else:
        outcome = run(visible_tree(tree, release, point), point)
        artifacts = compare(outcome.files, release.known)
        result, reasons = _judge(release, point, outcome, artifacts)
    claim = _claim(release, point, result, artifacts, reasons)
    findings = Findings(result, claim, tuple(reasons), artifacts, release.title, release.arch,
                        point.name, tree.digest, release.file, release.sha256)  # fmt: skip
    return Verdict(findings, _DECIDE) if run is run_in_core else Proposal(findings)


def _judge(
    release: Release, entry: EntryPoint, outcome: Outcome, artifacts: Sequence[ComparedFile]
) -> tuple[Result, list[str]]:
    """What a run on the release's own materials comes to, and the reasons against it."""
    stopped = [] if outcome.failure is None else [f"the guest failed: {outcome.failure}"]
    ended = [
        f"a command ended with wait status {status:#x}" for status in outcome.statuses if status
    ]
    if not stopped and not ended and len(outcome.statuses) != len(entry.commands):
        ended = ["not every command was run"]
    wrong = [file for file in artifacts if not file.matches]
    differing = _some("{} artifacts differ", [file.path for file in wrong if file.sha256])
    missing = _some("{} artifacts are missing", [file.path for file in wrong if not file.sha256])
    if not any(file.is_answer for file in artifacts):
        missing.append("there is no known-good answer to compare with")
    materials = release.materials_for(entry).items()
    changed = [path for path, sha256 in materials if outcome.files.get(path) != sha256]
    missing += _some("the run changed {} files of the release", changed)
    # What differs was there first, and often is the cause. But of a guest that was stopped nobody
    # knows which files were finished.
    if stopped:
        return "error", [*stopped, *differing, *missing]
    reasons = [*differing, *ended, *missing]
    if reasons:
        return "mismatch" if differing else "error" if ended else "incomplete", reasons
    if release.materials is None:
        return "answers-only", ["the sources were compared with no list"]
    if release.sha256 not in {other.sha256 for other in shipped(release.arch)}:
        return "as-pinned", [f"as pinned by {release.file} (sha256 {release.sha256})"]
    return "verified", []


def _some(text: str, paths: Sequence[str]) -> list[str]:
    """A reason that names the first of these paths; none where there are none."""
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return [f"{text.format(len(paths))}: {', '.join(paths[:5])}{more}"] if paths else []


def _claim(
    release: Release,
    entry: EntryPoint,
    result: Result,
    artifacts: Sequence[ComparedFile],
    reasons: Sequence[str],
) -> str:
    answers = [file for file in artifacts if file.is_answer]
    good = sum(file.matches for file in answers)
    what = f"{release.title} for {release.arch}"
    if EXIT_STATUS[result] not in (ExitStatus.DONE, ExitStatus.LESS_THAN_ASKED):
        return f"{good} of {len(answers)} answers of {what} match; {reasons[0]}."
    if release.materials is None:
        return f"All {good} answers met; {reasons[0]}."
    others = len(artifacts) - len(answers)
    also = f" and {others} intermediate artifacts" if others else ""
    which = f"whose {len(release.materials_for(entry))} source files are those of the release"
    if release.title == EMBEDDED:
        what = f"the embedded sources for {release.arch}"
        which = "that this program carries; upstream's were not verified"
    how = f"match their known-good values, built through the entry {entry.name} in a tree {which}"
    return f"All {good} answers of {what}{also} {how}{''.join(f', {why}' for why in reasons)}."
