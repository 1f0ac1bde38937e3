"""Makes opinions on a release, and keeps them: one file each, with all that they depended on.

A maker runs one way of making the release, and says what it saw; it knows no value that it should
reach. Which ways count as independent is `bootstrap.confirm`'s affair, which runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import bootstrap
from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.release import from_answers, read_file
from bootstrap.core.verdict import decide
from bootstrap.documents import BadValue, encode
from bootstrap.instruments import default_engine, loaded_library
from bootstrap.known import StepFile
from bootstrap.known.seeds import load as seed_catalogue
from bootstrap.machines.builder_hex0 import Stages, build, read_stages
from bootstrap.machines.pc import PcLimits
from bootstrap.report.opinion import MOST, ReleaseOpinion, read_opinion
from bootstrap.runs.deciding import core_tree, release_of
from bootstrap.runs.rebuild import rebuild
from bootstrap.sources import Cache, Resolved
from bootstrap.sources.cache import put
from bootstrap.sources.checkouts import BUILDER_HEX0, checkout_at

Saying = Callable[[str], None]
"""Called now and then with what is under way, in a few words."""


@dataclass(frozen=True)
class Sight:
    """What came of a way: SHA-256 by tree path (None: not there), in the order it was made in."""

    files: Mapping[str, str | None]
    how: str
    stopped: str | None = None
    unmade: str = ""
    """Why there is none: it cannot be made here. Then nothing else counts."""
    cause: str = ""
    """Of the first artifact that is not as it should be: who made it, and of what."""


@dataclass(frozen=True)
class Maker:
    """How an opinion is made, and what else than the release it depends on.

    Both raise BadInput where it cannot be made here, with the way out; GuestFailed of `make` is
    what the guest did, and a finding.
    """

    make: Callable[[Resolved, str, Saying], Sight]
    inputs: Callable[[Resolved], Mapping[str, str]]


# -- what an opinion depends on ------------------------------------------------------------------


def code_of(*rooms: str) -> dict[str, str]:
    """Our own code in these rooms, and in this module, by digest; and the Python that runs it."""
    top = Path(bootstrap.__file__).parent
    found = {"python": platform.python_version()}
    for room in ("runs/opinions.py", *rooms):
        digest = hashlib.sha256()
        place = top / room
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            if file.suffix in (".py", ".so", ".pyd", ".dll", ".dylib", ".tbl", ".json"):
                digest.update(f"{file.relative_to(top)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        found[f"bootstrap/{room}"] = digest.hexdigest()
    return found


def file_digest(place: Path) -> str:
    """SHA-256 of a program of the host. Raises BadInput."""
    return hashlib.sha256(read_file(place, 1 << 30)).hexdigest()


def engine_code(*rooms: str) -> dict[str, str]:
    """The same with Unicorn: its version, and the digest of the library that is loaded. Raises
    BadInput where that is no file."""
    place = loaded_library()
    found = {
        "unicorn": default_engine().describe()["version"],
        f"unicorn/{place.name}": file_digest(place),
    }
    return found | code_of(*rooms)


# -- ways that run the release -------------------------------------------------------------------


def _core(resolved: Resolved, entry: str, tick: Saying) -> Sight:
    """`decide` with the core's own runner: a Verdict, of which the hashes are taken."""
    tick("the core alone")
    release = release_of(resolved.step)
    if release is None:
        raise BadInput("no step file of ours says what should come of it")
    found = decide(core_tree(resolved.tree), release, entry).findings
    # What speaks against it beside artifacts that differ, which are seen.
    bad = found.result == "error" or all(file.matches for file in found.artifacts)
    stopped = next(iter(found.reasons), None) if bad and found.artifacts else None
    files = {file.path: file.sha256 for file in found.artifacts}
    return Sight(files, "the core's own runner, in an interpreter of its own", stopped)


def _fast_path(resolved: Resolved, entry: str, tick: Saying) -> Sight:
    tick("the fast path")
    engine = default_engine()
    done = rebuild(resolved, entry, engine).report
    bad = done.failure is not None or all(
        one.status in ("match", "unknown") for one in done.artifacts
    )
    files = {artifact.path: artifact.sha256 for artifact in done.artifacts}
    how = f"bootstrap verify, hot path {engine.describe()['hot_path']}"
    stopped = next(iter(done.reasons), None) if bad else None
    first = done.first_divergence
    return Sight(files, how, stopped, cause=first.verdict if first is not None else "")


def _stages() -> Stages:
    """builder-hex0's sources, from the cache. Raises BadInput."""
    with checkout_at(None, BUILDER_HEX0, Cache(), option="") as at:
        return read_stages(at.folder)


def _builder_hex0(resolved: Resolved, entry: str, tick: Saying) -> Sight:
    release = release_of(resolved.step)
    if release is None or resolved.step.release is None or entry != "kaem-optional-seed":
        raise BadInput("builder-hex0 builds a release, through kaem-optional-seed")
    stages, line = _stages(), bytearray()

    def show(byte: int) -> None:
        line.append(byte)
        if byte == 10:
            tick(line.decode("utf-8", "replace").strip())
            line.clear()

    found = build(stages, core_tree(resolved.tree), release, PcLimits(), show)
    stopped = None if found.stopped == "reboot" else found.stopped
    if bad := [path for path, made in found.seeds.items() if not made]:
        stopped = f"its hex0 does not make {bad[0]} from source"
    if found.materials:
        stopped = f"{next(iter(found.materials))} is not the release's at its end"
    files = {file.path: file.sha256 for file in found.artifacts}
    return Sight(files, f"image {found.image_sha256}, both seeds made from their sources", stopped)


def _builder_inputs(_resolved: Resolved) -> dict[str, str]:
    names = {f"builder-hex0 {name}": digest for name, digest in _stages().digests.items()}
    return names | engine_code("machines", "core", "languages")


def _fast_inputs(_resolved: Resolved) -> dict[str, str]:
    hot_path = default_engine().describe()["hot_path"]
    code = engine_code("core", "linux", "instruments", "runs", "report", "sources", "trace")
    return {"hot path": hot_path, **code}


MAKERS: Mapping[str, Maker] = {
    "core": Maker(_core, lambda _: engine_code("core", "runs/deciding.py")),
    "fast-path": Maker(_fast_path, _fast_inputs),
    "builder-hex0": Maker(_builder_hex0, _builder_inputs),
}
"""Those that need no room above this one."""


def made(
    maker: Maker, resolved: Resolved, entry: str, tick: Saying, inputs: Mapping[str, str]
) -> Sight:
    """Make it; a guest that fails is a way that stopped. It is none where its `inputs`, which were
    looked at before its turn came, are others at its end. Raises KeyboardInterrupt."""
    try:
        try:
            sight = maker.make(resolved, entry, tick)
        except GuestFailed as error:
            sight = Sight({}, "stopped", str(error))
        now = maker.inputs(resolved)
    except BadInput as error:
        return Sight({}, "", None, f"cannot be made here: {error}")
    if odd := sorted(n for n in {*now, *inputs} if now.get(n) != inputs.get(n)):
        return Sight({}, "", None, f"{odd[0]} changed before it was made: make it again")
    return sight


# -- what is published ---------------------------------------------------------------------------


def published(resolved: Resolved) -> Iterator[tuple[str, Sight]]:
    """Name of each opinion that others published, and what it says."""
    step = resolved.step
    if answers := _answers(resolved):
        yield "answers", Sight(answers, f"{step.answers_from} of the tree")
    if step.native:
        yield "recorded", Sight(step.native, f"{step.native_from}, in {step.file}")
    pins = dict(_pins(step))
    if pins:
        how = "seeds/catalogue.toml: what the seeds' sources must give"
        yield "pins", Sight(pins, how)


def _answers(resolved: Resolved) -> dict[str, str | None]:
    """The tree's own file, so that one that was changed speaks for itself; where the release does
    not read it, so that anybody may have put it there, what the step file has of it."""
    step = resolved.step
    file = resolved.tree.files.get(step.answers_from)
    if file is None or step.answers_from not in step.materials:
        return {**step.answers}
    rows = from_answers(file.data, step.answers_from, step.arch).known
    return {value.path: value.sha256 for value in rows}


def _pins(step: StepFile) -> Iterator[tuple[str, str | None]]:
    """hex0 and kaem-0 are the seeds again, made from source: their pins say what they must be.

    Only pins of a content count; one of a version says what somebody used, not what it is.
    """
    made_again = {"hex0-seed": "hex0", "kaem-optional-seed": "kaem-0"}
    known = {value.path for value in step.known()}
    if step.release is None:
        return
    for name, seed in step.seeds.items():
        path = f"{step.arch}/artifact/{made_again.get(name)}"
        row = seed_catalogue().by_sha256.get(seed.sha256)
        pinned = row is not None and any(
            p.by == "nixpkgs" and p.sure == "content" for p in row.pins
        )
        if pinned and (path in known or not step.native):
            yield path, seed.sha256


# -- keeping -------------------------------------------------------------------------------------


class OpinionStore:
    """The kept opinions: `confirm/RELEASE/ARCH-ENTRY/NAME.json` in the cache."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def place(self, opinion: ReleaseOpinion) -> Path:
        """Where it is, or would be."""
        title = opinion.release.replace(" ", "-")
        return self._root / "confirm" / title / f"{opinion.arch}-{opinion.entry}" / (
            f"{opinion.opinion}.json")  # fmt: skip

    def load(self, wanted: ReleaseOpinion) -> tuple[ReleaseOpinion | None, str]:
        """The kept one that depends on the same; else why there is none, or why it is dropped."""
        place = self.place(wanted)
        try:
            data = read_file(place, MOST) if place.exists() else None
            found = None if data is None else read_opinion(data)
        except (BadInput, BadValue) as fault:
            return None, f"dropped {place}: {str(fault).removeprefix(f'{place}: ')}"
        if found is not None and (changed := _changed(found, wanted)):
            at = found.made.at if found.made is not None else "an unknown time"
            return None, f"the kept one, of {at}, depends on other things: {changed}"
        return found, ""

    def keep(self, opinion: ReleaseOpinion) -> ReleaseOpinion:
        """Keep it, sealed; what came out otherwise before, of the same things, it says.

        Raises BadInput.
        """
        before, _ = self.load(opinion)
        if before is not None:
            old = {file.path: file.sha256 for file in before.artifacts}
            new = {file.path: file.sha256 for file in opinion.artifacts}
            parted = {path for path in {*old, *new} if old.get(path) != new.get(path)}
            if before.stopped or opinion.stopped:
                parted = set()  # a run that stopped says so itself
            opinion = replace(opinion, unsteady=tuple(sorted(parted | {*before.unsteady})))
        opinion, place = opinion.sealed(), self.place(opinion)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            put(place, (json.dumps(encode(opinion), indent=1) + "\n").encode())
        except OSError as error:
            raise BadInput(f"{place}: the opinion cannot be kept: {error.strerror}") from None
        return opinion


def _changed(found: ReleaseOpinion, wanted: ReleaseOpinion) -> str:
    """What it depends on that is not so any more; empty where all is the same."""
    names = [
        name
        for name in ("opinion", "release", "arch", "entry", "tree", "judged_by")
        if getattr(found, name) != getattr(wanted, name)
    ]
    inputs = {*found.inputs, *wanted.inputs}
    names += sorted(n for n in inputs if found.inputs.get(n) != wanted.inputs.get(n))
    return ", ".join(names)
