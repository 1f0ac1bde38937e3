"""`bootstrap confirm`: who says so? Opinions on each artifact of a release, made, kept, counted."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import getpass
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bootstrap
from bootstrap import host
from bootstrap.attest.hosts import this_host
from bootstrap.attest.policy import read_policy
from bootstrap.attest.quorum import judge, known_of
from bootstrap.attest.signatures import open_ring
from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import (
    STDOUT,
    check_places,
    each,
    for_people,
    print_page,
    write_json,
    write_text,
)
from bootstrap.cli.quorum import read_attestations
from bootstrap.cli.verify import default_entry, jobs_of
from bootstrap.confirm.forms import to_page, to_text
from bootstrap.confirm.table import (
    Confirmation,
    Voice,
    against,
    confirmation,
    read_baseline,
)
from bootstrap.core.errors import BadInput, printable
from bootstrap.core.release import read_file
from bootstrap.ddc import chains
from bootstrap.documents import MAX_DOCUMENT, typed
from bootstrap.handoff import by_valgrind, natively
from bootstrap.report.html import to_html, to_markdown
from bootstrap.report.model import NameAndVersion
from bootstrap.report.opinion import JudgedBy, Made, ReleaseOpinion, SeenFile
from bootstrap.report.ways import BY_NAME, WAYS, Way
from bootstrap.runs import opinions, pool
from bootstrap.runs.build_plan import who_makes
from bootstrap.runs.opinions import OpinionStore, Sight
from bootstrap.signals import scratch_folder
from bootstrap.sources import Cache, Resolved, cache_root, resolve

MAKERS = {**opinions.MAKERS, **natively.MAKERS, **by_valgrind.MAKERS, **chains.MAKERS}
_TICK = 0.5
"""Seconds between two notes of a worker."""


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError, KeyboardInterrupt; returns the exit status."""
    wanted = _wanted(args.run)
    check_places(args.json, args.html, args.markdown)
    if [args.json, args.html, args.markdown].count(STDOUT) > 1:
        raise BadInput("only one output can have standard output")
    if args.fresh and not wanted:
        raise BadInput("--fresh goes with --run: name the opinions to make again")
    if args.attestation and args.policy is None:
        raise BadInput("--attestation needs --policy, which says whose attestations count")
    baseline = None
    if args.baseline is not None:
        baseline = read_baseline(read_file(Path(args.baseline), MAX_DOCUMENT), args.baseline)
    resolved = resolve(args.source, args.release, args.arch, Cache(), args.entry)
    if not resolved.materials.whole or not resolved.step.sha256:
        raise BadInput(
            f"{resolved.tree.label}: is not {resolved.step.title} as it is known, so there are no "
            "opinions on it (bootstrap verify says what differs)"
        )
    found = _confirmed(args, resolved, wanted, baseline is not None)
    if baseline is not None:
        found = against(found, baseline)
    _write(args, found)
    return found.exit_code


def made_now(args: argparse.Namespace, entry: str) -> Confirmation:
    """The opinions that `attest --opinions` names, made in this run. Raises as `run` does."""
    also: dict[str, object] = {"policy": None, "attestation": [], "at_least": 1, "entry": entry}
    given = argparse.Namespace(**{**vars(args), **also, "fresh": True})
    resolved = resolve(args.source, args.release, args.arch, Cache(), entry)
    return _confirmed(given, resolved, _wanted(args.opinions), True)


def _wanted(text: str | None) -> list[str]:
    makable = [way.name for way in WAYS if way.makes]
    if text is None:
        return []
    if text == "all":
        return makable
    names = [name.strip() for name in text.split(",")]
    if odd := [name for name in names if name not in makable]:
        raise BadInput(f"--run {odd[0]}: unknown opinion; choose from all, {', '.join(makable)}")
    return names


def _write(args: argparse.Namespace, found: Confirmation) -> None:
    out = for_people(args.json, args.html, args.markdown)

    def view() -> None:
        if args.quiet and not found.exit_code:
            print(found.claim, file=out, flush=True)
        else:
            print_page(lambda **how: to_text(found, **how), out)

    def summary() -> None:
        place = os.environ.get("GITHUB_STEP_SUMMARY", "")
        try:
            with open(place, "a", encoding="utf-8") as file:
                file.write(to_markdown(to_page(found)))
        except OSError as error:
            raise BadInput(f"GITHUB_STEP_SUMMARY {place}: {error.strerror}") from None

    each(
        view,
        args.json and (lambda: write_json(args.json, found)),
        args.html and (lambda: write_text(args.html, to_html(to_page(found)))),
        args.markdown and (lambda: write_text(args.markdown, to_markdown(to_page(found)))),
        os.environ.get("GITHUB_STEP_SUMMARY") and summary,
    )


def _confirmed(
    args: argparse.Namespace, resolved: Resolved, wanted: Sequence[str], only_new: bool
) -> Confirmation:
    """Make what is wanted and missing, read the rest, and count."""
    step = resolved.step
    frame = ReleaseOpinion(
        tool=NameAndVersion("bootstrap", bootstrap.__version__),
        opinion="none",
        release=" ".join(filter(None, (step.name, step.release))),
        arch=step.arch,
        entry=args.entry or default_entry(resolved),
        tree=resolved.tree.digest,
        judged_by=JudgedBy(step.file.rpartition("/")[2], step.sha256),
    )
    store = OpinionStore(Cache().root)
    voices: dict[str, Voice] = {}
    missing: list[ReleaseOpinion] = []
    for way in WAYS:
        if step.arch not in way.arches or not way.makes:
            why = "nobody published one" if step.arch in way.arches else f"not for {step.arch}"
            voices[way.name] = Voice(way, "not applicable", None, why)
            continue
        voices[way.name], its = _kept(way, resolved, frame, store)
        again = args.fresh or only_new or voices[way.name].opinion is None
        if way.name in wanted and its is not None and again:
            missing.append(its)
    with LiveLine(args.quiet) as line:
        watcher = _Watcher(missing, store, line)
        if missing:
            _make(args, missing, watcher)
    if only_new:
        why = "kept from before; with --baseline only those made in this run count (--run)"
        voices = {
            name: replace(voice, state="not run", opinion=None, why=why) if voice.opinion else voice
            for name, voice in voices.items()
        }
    voices |= watcher.voices
    for name, sight in opinions.published(resolved):
        voices[name] = Voice(BY_NAME[name], "read", _opinion(replace(frame, opinion=name), sight))
    voices["attested"] = _attested(args, frame)
    makers = who_makes(resolved, frame.entry, cache_root() / "plans")
    columns = [voices[way.name] for way in WAYS]
    return confirmation(frame, step.known(), columns, args.at_least, makers)


def _kept(
    way: Way, resolved: Resolved, frame: ReleaseOpinion, store: OpinionStore
) -> tuple[Voice, ReleaseOpinion | None]:
    """The kept one, if there is one; and what a new one depends on, if one can be made here."""
    try:
        inputs = MAKERS[way.name].inputs(resolved)
    except BadInput as error:
        return Voice(way, "not run", None, f"cannot be made here: {error}"), None
    wanted = replace(frame, opinion=way.name, inputs=dict(inputs))
    found, why = store.load(wanted)
    if why.startswith("dropped"):
        print(f"note: {printable(why)}", file=sys.stderr)
    if found is not None:
        return Voice(way, "kept", found), wanted
    release = frame.release.rpartition(" ")[2]
    command = f"bootstrap confirm --release {release} --arch {frame.arch} --run {way.name}"
    return Voice(way, "not run", None, why, command), wanted


def _opinion(frame: ReleaseOpinion, sight: Sight) -> ReleaseOpinion:
    files = tuple(SeenFile(path, sha256) for path, sha256 in sight.files.items())
    said = replace(frame, how=sight.how, stopped=sight.stopped, cause=sight.cause)
    return replace(said, artifacts=files).sealed()


def _attested(args: argparse.Namespace, frame: ReleaseOpinion) -> Voice:
    """What the attestations given come to, by the policy given."""
    way = BY_NAME["attested"]
    if args.policy is None:
        return Voice(way, "not run", None, "give --policy FILE and --attestation FILE")
    policy = read_policy(Path(args.policy))
    if (about := policy.about) is None:
        raise BadInput(f"{args.policy}: has no [about] and [need] to judge attestations by")
    if policy.stagex is not None:
        raise BadInput(f"{args.policy}: has [stagex] too, which bootstrap quorum judges, not this")
    if about.title != f"{frame.release} {frame.arch}":
        raise BadInput(f"{args.policy}: is about {about.title}")
    policy, envelopes = read_attestations(policy, args.attestation)
    day = datetime.datetime.now(datetime.UTC).date()
    known = known_of(about)
    with open_ring(policy.keys, day) as ring:
        found = judge(policy, envelopes, ring, known)
    if found.agreed is not None and (
        found.agreed.entry != frame.entry
        or known is None
        or found.agreed.source_digest != known.sources.get(frame.entry)
    ):
        what = f"it is about {found.agreed.entry} with the source digest"
        return Voice(way, "not run", None, f"{what} {found.agreed.source_digest}, not about this")
    why = "" if found.met else f"NOT MET: {'; '.join(found.why_not)}"
    if found.agreed is None or not (found.met or found.disagreements):
        return Voice(way, "not run", None, why)
    persons = ", ".join(sorted({v.person or "" for v in found.voices if v.verdict == "counts"}))
    sight = Sight(found.agreed.products, f"signed by {persons}, by {args.policy}", why or None)
    return Voice(way, "read", _opinion(replace(frame, opinion="attested"), sight))


# -- making them, each in a process of its own ---------------------------------------------------


@dataclass(frozen=True)
class _OpinionTask:
    wanted: ReleaseOpinion
    source: str | None
    release: str | None
    scratch: str


def _make(
    args: argparse.Namespace, frames: Sequence[ReleaseOpinion], watcher: pool.WorkWatcher
) -> None:
    """Each is kept as soon as it is made: a kill loses those under way. Raises as the pool does."""
    source = None if args.source is None else os.path.abspath(args.source)
    with scratch_folder("bootstrap-confirm-") as scratch:
        tasks = [
            pool.WorkTask(one.opinion, _OpinionTask(one, source, args.release, str(scratch)))
            for one in frames
        ]
        pool.run_each(_start, tasks, jobs_of(args), watcher)


def _start() -> host.Process:
    return host.start("bootstrap.cli.confirm", "worker")


def worker() -> None:
    """One opinion, in its worker."""
    pool.serve(_work)


def _work(given: object, notify: pool.Notify) -> object:
    task = typed(_OpinionTask, given)
    tempfile.tempdir, wanted = task.scratch, task.wanted
    resolved = resolve(task.source, task.release, wanted.arch, Cache(), wanted.entry, online=False)
    if resolved.tree.digest != wanted.tree:
        raise BadInput(f"{resolved.tree.label}: is not what it was when confirm began")
    text = deque([""], maxlen=1)

    def beat() -> None:
        while True:
            time.sleep(_TICK)
            notify(text[0])

    threading.Thread(target=beat, daemon=True).start()
    how = resolved, wanted.entry, text.append, wanted.inputs
    return opinions.made(MAKERS[wanted.opinion], *how)


class _Watcher:
    """Shows how the workers go, and keeps what each gives."""

    def __init__(
        self, frames: Sequence[ReleaseOpinion], store: OpinionStore, line: LiveLine
    ) -> None:
        self._frames, self._store, self._line = frames, store, line
        self._started: dict[int, float] = {}
        self._notes: dict[int, str] = {}
        self.voices: dict[str, Voice] = {}

    def on_start(self, number: int) -> None:
        """See WorkWatcher."""
        self._started[number] = time.monotonic()
        self._notes[number] = ""
        if not self._line.live:
            self._line.line(f"{self._frames[number].opinion}: started")

    def on_note(self, number: int, note: object) -> None:
        """See WorkWatcher."""
        self._notes[number] = typed(str, note)
        now = time.monotonic()
        heads = {
            n: f"{self._frames[n].opinion} {now - self._started[n]:.0f} s" for n in self._notes
        }
        done = f"{len(self.voices)} of {len(self._frames)}"
        texts = (f"{head}: {self._notes[n]}".removesuffix(": ") for n, head in heads.items())
        self._line.show("; ".join((done, *texts)), "; ".join((done, *heads.values())))

    def on_end(self, number: int, result: pool.WorkResult | pool.Died) -> None:
        """See WorkWatcher."""
        frame, seconds = self._frames[number], time.monotonic() - self._started[number]
        way = BY_NAME[frame.opinion]
        self._notes.pop(number)
        if isinstance(result, pool.Died):
            sight = Sight({}, "", None, f"its process {result}")
        else:
            sight = typed(Sight, result.value)
        voice = Voice(way, "not run", None, sight.unmade)
        if not sight.unmade:
            new = replace(_opinion(frame, sight), made=_made_now(seconds))
            voice = Voice(way, "made", self._store.keep(new))
        self.voices[way.name] = voice
        said = voice.why or f"made in {seconds:.0f} s"
        self._line.line(f"{way.name}: {said}")


def _made_now(seconds: float) -> Made:
    """Now, here, by whoever runs this."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    seen, who = this_host(), f"uid {os.getuid()}"
    with contextlib.suppress(KeyError, OSError, ImportError):
        who = getpass.getuser()
    return Made(now, f"{seen.cpu_vendor}, {seen.os}", who, round(seconds, 1))
