"""The run: one step after another, each in a container of its own, followed, checked and kept."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.handoff import checking, rootfs
from bootstrap.handoff.checks import PACKAGES, read_sums, read_text
from bootstrap.handoff.configuration import ARCHITECTURES
from bootstrap.handoff.containers.confinement import container_ids
from bootstrap.handoff.containers.container import Container, ContainerLimits
from bootstrap.handoff.containers.running import ContainerEnd, choose, kill_leftovers, run_container
from bootstrap.handoff.containers.safe_paths import read_inside, remove
from bootstrap.handoff.distfiles import AuditedFile
from bootstrap.handoff.plan import HandoffPlan
from bootstrap.handoff.saving import SavedRoot
from bootstrap.handoff.stage0 import Stage0
from bootstrap.handoff.work import (
    STAGE0,
    CheckedFile,
    FinishedStep,
    HandoffTask,
    Order,
    Result,
    RunListener,
    RunOutcome,
    StepFailure,
    WorkFolder,
    WorkState,
    last_task,
    tasks_of,
)

BASH = "/usr/bin/bash"

_MACHINES = {"x86": ("x86_64", "i686", "i586", "i386"), "amd64": ("x86_64",)}
_IDENTITY = {
    "checkout": "checkout, by the digest of what is used of it",
    "configuration": "configuration",
    "stage0": "stage0-posix, by its tree digest",
    "from": "--from",
}
_TAIL = 1 << 16
_LINES = 15


def run(order: Order, plan: HandoffPlan, stage0: Stage0, listener: RunListener) -> RunOutcome:
    """Do it.  Raises BadInput, and KeyboardInterrupt after the container was ended.

    Whatever happens, steps that were finished stay finished.
    """
    require_sense(order, plan)
    work = WorkFolder(order.work)
    try:
        with work.locked():
            return _Run(order, plan, stage0, listener, work).do()
    except OSError as error:
        name = os.fsdecode(error.filename or work.folder)
        raise BadInput(f"{name}: {error.strerror}; what was finished is kept") from None


def require_sense(order: Order, plan: HandoffPlan) -> None:
    """Raise BadInput where no run can come of it: cheap, for before what takes long."""
    last_task(tasks_of(plan), order.until)
    if plan.variables.get("UPDATE_CHECKSUMS") != "False":
        raise BadInput("--set UPDATE_CHECKSUMS: a run never lets upstream write values anew")
    machine = platform.machine()
    if machine not in _MACHINES.get(plan.arch, (plan.arch,)):
        raise BadInput(f"--arch {plan.arch}: this machine is {machine}, and cannot run that")
    for row in plan.rows:
        rootfs.lines_of(row.step)
    if not order.distfiles.is_dir():
        raise BadInput(
            f"--distfiles {order.distfiles}: there is no such folder; bootstrap handoff sources"
            " makes and fills it"
        )


class _Missing(Exception):
    """A step needs a distfile that is not there."""


class _Run:
    def __init__(
        self,
        order: Order,
        plan: HandoffPlan,
        stage0: Stage0,
        listener: RunListener,
        work: WorkFolder,
    ) -> None:
        self.order, self.plan, self.stage0, self.work = order, plan, stage0, work
        self.listener = listener
        self.root = work.root
        self.saved = SavedRoot(work.root, work.saved, (rootfs.DISTFILES,), container_ids())
        self.arch_dir = ARCHITECTURES[plan.arch]
        self.tasks = tasks_of(plan)
        self.distfiles = {file.name: file for file in plan.distfiles}
        self._heads: rootfs.Heads | None = None

    def do(self) -> RunOutcome:
        last = last_task(self.tasks, self.order.until)
        state = self.work.read()
        self._require_fitting(state)
        self.choice = choose(self.order.engine, self.plan.arch, self.order.limits, self.work.folder)
        engine = self.choice.engine
        for name, reason in self.choice.others:
            self.listener.said(f"not {name}: {reason}")
        self.listener.said(f"engine: {engine}")
        self.state = self._laid_out() if state is None else self._gone_back(state)
        self._distfiles(self.plan.needed)
        before = len(self.state.finished)
        result: Result = "done" if last == len(self.tasks) - 1 else "until"
        failure = None
        for number in range(len(self.state.finished), last + 1):
            task = self.tasks[number]
            self.listener.began(task, number, len(self.tasks) - 1)
            try:
                failure, bad = self._task(task)
            except _Missing as error:
                failure, bad = StepFailure(task, str(error)), "missing"
            if failure is not None:
                result = bad
                break
        sums = read_sums(read_text(self.order.checkout, PACKAGES), PACKAGES)
        rootfs.read_same(self.order.checkout, self.plan)
        # What a step left half done is not there in the copy, from which a next run goes on.
        good = self.saved.tree if self.state.running is not None else self.root
        packages = tuple(checking.check_packages(good, sums))
        finished = tuple(self.state.finished)
        return RunOutcome(
            self.order, result, self.tasks, finished, before, packages, failure, self.choice
        )

    # -- the work folder ------------------------------------------------------------------------

    def _identity(self) -> dict[str, str]:
        products = self.stage0.products
        return {
            "checkout": self.plan.checkout.digest,
            "configuration": " ".join(f"{k}={v}" for k, v in self.plan.configuration.items()),
            "stage0": self.stage0.tree.digest,
            "from": "seed" if products is None else "stage0",
        }

    def _require_fitting(self, state: WorkState | None) -> None:
        folder = self.work.folder
        if state is None:
            if self.order.resume:
                raise BadInput(f"--work {folder}: has no run to --resume")
            ours = {"lock", "root", "saved", "logs", "state.new", "enter.sh", "start"}
            names = {name for name in os.listdir(folder) if not name.startswith(".probe.")}
            if others := sorted(names - ours):
                raise BadInput(
                    f"--work {folder}: is not empty ({others[0]}); name a new or an empty folder"
                )
            return
        if not self.order.resume:
            raise BadInput(
                f"--work {folder}: has a run with {len(state.finished)} of {len(self.tasks)} steps"
                " finished: give --resume, or name another folder"
            )
        now = self._identity()
        for name, value in state.identity.items():
            if now.get(name) != value:
                what = _IDENTITY.get(name, name)
                raise BadInput(
                    f"--work {folder}: was begun with another {what} ({value[:300]}); give the same"
                    " as then, or begin in a new folder"
                )

    def _laid_out(self) -> WorkState:
        self.listener.said(f"laying out {self.root}")
        for place in (self.root, self.work.saved, self.work.logs):
            remove(place)
        rootfs.lay_out(self.root, self.order.checkout, self.plan, self.stage0)
        state = WorkState(2, self._identity())
        if self.stage0.products is not None:
            rows = checking.check_stage0(self.root, self.stage0.known)
            if wrong := [row for row in rows if row.state == "mismatch"]:
                raise BadInput(
                    f"{self.stage0.title}: {len(wrong)} of {len(rows)} products are not what they"
                    f" should be, the first is {wrong[0].path}; nothing was started"
                )
            state.finished.append(FinishedStep(STAGE0, "stage0, by emulation", 0.0, "", rows))
        self._keep(state)
        return state

    def _compared_again(self, state: WorkState) -> None:
        """What is known of stage0 now is held against what was found of it then."""
        done = next((done for done in state.finished if done.key == STAGE0), None)
        if done is None:
            return
        found = {row.path: row.found for row in done.checked}
        before = {(row.path, row.expected) for row in done.checked}
        for path, sha256, by in self.stage0.known:
            row = CheckedFile(path, found.get(path), sha256, by)
            if row.state == "mismatch":
                raise BadInput(f"{self.work.folder}: in its stage0, {path} {_difference(row)}")
            if (path, sha256) not in before:
                done.checked.append(row)

    def _gone_back(self, state: WorkState) -> WorkState:
        """Throw away what a step did that was not finished."""
        self._compared_again(state)
        if state.saving:
            self._keep(state)
        elif state.running is not None:
            kill_leftovers(self.work.container_name)
            self.choice.engine.kill(self._container((), {}))
            changed = self.saved.restore()
            last = self.tasks[len(state.finished) - 1].title if state.finished else "the layout"
            self.listener.said(f"went back to the end of {last}: {changed} paths of the root")
            state.running = None
            self.work.write(state)
        return state

    def _keep(self, state: WorkState) -> None:
        """The root is good: keep a copy.  What comes between is made good by the next run."""
        state.running, state.saving = None, True
        self.work.write(state)
        self.saved.save()
        state.saving = False
        self.work.write(state)

    # -- steps ----------------------------------------------------------------------------------

    def _distfiles(self, names: Sequence[str] | frozenset[str]) -> dict[str, AuditedFile]:
        files = [self.distfiles[name] for name in self.distfiles if name in names]
        return rootfs.bring_distfiles(self.root, self.order.distfiles, files, self.listener.hashed)

    def _task(self, task: HandoffTask) -> tuple[StepFailure | None, Result]:
        """Run one and keep it; the failure, if any, and what it is."""
        given = self._require_distfiles(task)
        self.state.running = task.key
        self.work.write(self.state)
        container = self._started_by(task)
        log, tail, ended = self._run(task, container)
        if ended.status != 0 or ended.over_time:
            why = _why(ended, self.order.limits)
            message = f"{task.title}: {why}{_full(self.work.folder)}"
            return self._failure(task, container, message, tail, given), "failed"
        rows = self._checked(task)
        # Values of the checkout were read anew.
        rootfs.read_same(self.order.checkout, self.plan)
        if any(row.state == "mismatch" for row in rows):
            wrong = [row for row in rows if row.state == "mismatch"]
            first = wrong[0]
            message = (
                f"{task.title}: {len(wrong)} of {len(rows)} files are not what they should be;"
                f" {first.path} {_difference(first)}"
            )
            failure = self._failure(task, container, message, b"", given)
            return replace(failure, checked=tuple(rows)), "mismatch"
        for name in (f"{rootfs.STEP}.kaem", f"{rootfs.STEP}.sh", rootfs.EXPORTED):
            (self.root / name).unlink(missing_ok=True)
        engine = str(self.choice.engine)
        finished = FinishedStep(task.key, task.title, round(ended.seconds, 3), log, rows, engine)
        self.state.finished.append(finished)
        self._keep(self.state)
        self.listener.ended(finished)
        return None, "done"

    def _require_distfiles(self, task: HandoffTask) -> tuple[str, ...]:
        if task.row is None:
            return ()
        found = self._distfiles(task.row.files)
        missing = [row.file for row in found.values() if row.state == "missing"]
        if missing:
            files = ", ".join(f"{file.name} ({file.lines[0].where})" for file in missing)
            raise _Missing(
                f"{task.title} needs {files}: not in {self.order.distfiles}; bootstrap handoff"
                " sources gets it, then go on with --resume"
            )
        return tuple(
            f"/{rootfs.DISTFILES}/{row.file.name} sha256 {row.file.sha256}"
            for row in found.values()
        )

    def _started_by(self, task: HandoffTask) -> Container:
        """What is to be started, with the script for it in the root."""
        environment = {"PATH": "/bin"}
        kaem = f"/{self.arch_dir}/bin/kaem"
        if task.key == STAGE0:
            seed = f"/bootstrap-seeds/POSIX/{self.arch_dir}/kaem-optional-seed"
            return self._container((seed,), environment)
        name = f"{rootfs.STEP}.kaem"
        argv = (kaem, "--verbose", "--strict", "--file", f"/{name}")
        if task.row is None:
            rootfs.put_hook(self.root, rootfs.read_same(self.order.checkout, self.plan))
            lines = rootfs.assignments(self.root, f"{self.arch_dir}/kaem.run")
            self._script(name, *lines, f"{kaem} --verbose --strict --file ./{rootfs.HOOK}")
            return self._container(argv, environment)
        rootfs.require_enforced(self.root, self.plan.variables)
        step = task.row.step
        if step.era == "kaem":
            self._script(name, *self._kaem_head(), *rootfs.lines_of(step))
            return self._container(argv, environment)
        # A bash script of one step, which at its end says what it exports.
        exports = f"cat /proc/self/environ > /{rootfs.EXPORTED}"
        head = self.heads[step.script]
        self._script(f"{rootfs.STEP}.sh", *head, *rootfs.lines_of(step), exports)
        if self.state.exported is None:
            self._script(name, *self._kaem_head(), f"bash /{rootfs.STEP}.sh")
            return self._container(argv, environment)
        return self._container((BASH, f"/{rootfs.STEP}.sh"), self.state.exported)

    @property
    def heads(self) -> rootfs.Heads:
        """Of upstream's scripts as they are now; read when needed first.  Raises BadInput."""
        if self._heads is None:
            self._heads = self._read_heads()
        return self._heads

    def _read_heads(self) -> rootfs.Heads:
        return rootfs.read_scripts(self.root, [row.step for row in self.plan.rows])

    def _kaem_head(self) -> tuple[str, ...]:
        """What kaem has in its environment when ``/steps/0.sh`` begins, and that script's head."""
        names = (f"{self.arch_dir}/kaem.run", rootfs.HOOK, "seed-full.kaem")
        return "set -e", *rootfs.assignments(self.root, *names), *self.heads[0]

    def _container(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> Container:
        arch, limits = self.plan.arch, self.order.limits
        return Container(self.work.container_name, self.root, arch, argv, environment, limits)

    def _script(self, name: str, *lines: str) -> None:
        place = self.root / name
        try:
            place.unlink(missing_ok=True)
            place.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{place}: cannot be written: {error.strerror}") from None

    def _run(self, task: HandoffTask, container: Container) -> tuple[str, bytes, ContainerEnd]:
        number = task.key.zfill(3) if task.row else "000"
        name = f"{number}-{task.title.replace(' ', '-').replace('/', '_')[:80]}.log"
        place = self.work.logs / name
        tail = bytearray()
        try:
            self.work.logs.mkdir(exist_ok=True)
            with place.open("wb", buffering=0) as log:

                def on_output(data: bytes) -> None:
                    log.write(data)
                    tail.extend(data)
                    del tail[:-_TAIL]

                ended = run_container(
                    self.choice.engine,
                    container,
                    on_output,
                    lambda seconds: self.listener.tick(seconds, _last_line(bytes(tail))),
                    self.order.limits.seconds,
                )
        except OSError as error:
            raise BadInput(
                f"{place}: cannot be written: {error.strerror}; the step was stopped, and --resume"
                " begins it again"
            ) from None
        return f"logs/{name}", bytes(tail), ended

    def _checked(self, task: HandoffTask) -> list[CheckedFile]:
        """What we hash after a step; and what must still be so for the next."""
        if task.key == STAGE0:
            rows = checking.check_stage0(self.root, self.stage0.known)
            known = {row.path for row in rows}
            for path in self.saved.new_files():
                if path not in known:
                    found = checking.sha256_in(self.root, path)
                    rows.append(CheckedFile(path, found, None, "no value is known"))
            return rows
        if task.row is None:
            self._heads = self._read_heads()
            return checking.check_before(self.root, self.plan.before)
        if task.row.step.title == "improve reconfigure":
            self._heads = None
        if task.row.step.era == "bash":
            data = read_inside(self.root, rootfs.EXPORTED)
            self.state.exported = rootfs.read_exported(data)
        return checking.check_step(self.root, self.order.checkout, task.row)

    # -- when it fails --------------------------------------------------------------------------

    def _failure(
        self,
        task: HandoffTask,
        container: Container,
        message: str,
        tail: bytes,
        files: tuple[str, ...],
    ) -> StepFailure:
        lines = tail.decode("utf-8", "replace").splitlines()[-_LINES:]
        given = [
            shlex.join(container.argv),
            " ".join(f"{name}={value}" for name, value in sorted(container.environment.items())),
            *files,
        ]
        return StepFailure(task, message, tuple(lines), tuple(given), self._write_enter(container))

    def _write_enter(self, container: Container) -> str:
        """A script that starts the same container again."""
        command = self.choice.engine.enter(container)
        text = (
            "#!/bin/sh\n# Enters the container as it was when its step stopped: with a program"
            " and its arguments,\n# or without, to start the step again. --resume throws away what"
            " is done in it.\n"
            f"[ $# -gt 0 ] || set -- {shlex.join(container.argv)}\n"
            f'exec {shlex.join(command)} "$@"\n'
        )
        try:
            self.work.enter.write_text(text, encoding="utf-8")
            self.work.enter.chmod(0o755)
        except OSError as error:
            return f"(no script for it: {self.work.enter} cannot be written: {error.strerror})"
        return shlex.join(["sh", str(self.work.enter)])


# -- why it stopped, in words ----------------------------------------------------------------------

_FULL = 32 << 20
"""Bytes: a disk with less than this left counts as full."""


def _why(ended: ContainerEnd, limits: ContainerLimits) -> str:
    """How a container ended that should have ended with 0."""
    if ended.over_time:
        return f"was ended after {limits.seconds} s, the --limit seconds"
    if ended.status > 128:
        with contextlib.suppress(ValueError):
            name = signal.Signals(ended.status - 128).name
            return f"ended with status {ended.status}, which says killed by {name}"
    return f"ended with status {ended.status}"


def _difference(row: CheckedFile) -> str:
    """What a mismatch is about, after the file's name."""
    if row.found is None:
        return f"is not there; {row.by} wants the sha256 {row.expected}"
    return f"has the sha256 {row.found}; {row.by} wants {row.expected}"


def _last_line(tail: bytes) -> str:
    """Of what a step wrote so far."""
    line = tail[-400:].rstrip().rpartition(b"\n")[2]
    return line.decode("utf-8", "replace")


def _full(folder: Path) -> str:
    """What to add when the disk that holds a folder is full; nothing when it is not."""
    facts = os.statvfs(folder)
    free = facts.f_bavail * facts.f_frsize
    return "" if free >= _FULL else f"; the disk of {folder} is full ({free >> 20} MB left)"
