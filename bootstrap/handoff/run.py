"""The run: one step after another, each in a container of its own, followed, checked and kept."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.core.errors import BadInput
from bootstrap.handoff import checking, rootfs
from bootstrap.handoff.checks import PACKAGES, read_sums, read_text
from bootstrap.handoff.containers.container import Container, ContainerLimits, container_ids
from bootstrap.handoff.containers.running import ContainerEnd, choose, kill_leftovers, run_container
from bootstrap.handoff.containers.safe_paths import read_inside, remove
from bootstrap.handoff.distfiles import AuditedFile
from bootstrap.handoff.plan import ARCHITECTURES, HandoffPlan
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


class _Stopped(Exception):
    """A step that did not come to its end, and the result that the run has by that."""

    def __init__(self, failure: StepFailure, result: Result) -> None:
        super().__init__(failure.message)
        self.failure, self.result = failure, result


@dataclass
class _Run:
    order: Order
    plan: HandoffPlan
    stage0: Stage0
    listener: RunListener
    work: WorkFolder

    def __post_init__(self) -> None:
        self.root = self.work.root
        self.saved = SavedRoot(self.root, self.work.saved, (rootfs.DISTFILES,), container_ids())
        self.arch_dir = ARCHITECTURES[self.plan.arch]
        self.tasks = tasks_of(self.plan)
        self.heads: rootfs.Heads = {}
        """Of upstream's scripts as they are now; empty until they are read."""

    def do(self) -> RunOutcome:
        last = last_task(self.tasks, self.order.until)
        state = self.work.read()
        self._require_fitting(state)
        self.choice = choose(self.order.engine, self.plan.arch, self.order.limits, self.work.folder)
        for name, reason in self.choice.others:
            self.listener.said(f"not {name}: {reason}")
        self.listener.said(f"engine: {self.choice.engine}")
        self.state = self._laid_out() if state is None else self._gone_back(state)
        self._bring(self.plan.needed)
        before = len(self.state.finished)
        result: Result = "done" if last == len(self.tasks) - 1 else "until"
        failure = None
        try:
            for number in range(before, last + 1):
                self.listener.began(self.tasks[number], number, len(self.tasks) - 1)
                self._do(self.tasks[number])
        except _Stopped as stopped:
            failure, result = stopped.failure, stopped.result
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
        here = f"--work {self.work.folder}:"
        if state is None:
            if self.order.resume:
                raise BadInput(f"{here} has no run to --resume")
            ours = {"lock", "root", "saved", "logs", "state.new", "enter.sh", "start"}
            names = {n for n in os.listdir(self.work.folder) if not n.startswith(".probe.")}
            if others := sorted(names - ours):
                raise BadInput(f"{here} is not empty ({others[0]}); name a new or an empty folder")
            return
        if not self.order.resume:
            raise BadInput(
                f"{here} has a run with {len(state.finished)} of {len(self.tasks)} steps"
                " finished: give --resume, or name another folder"
            )
        now = self._identity()
        for name, value in state.identity.items():
            if now.get(name) != value:
                raise BadInput(
                    f"{here} was begun with another {_IDENTITY.get(name, name)} ({value[:300]});"
                    " give the same as then, or begin in a new folder"
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

    def _bring(self, names: Sequence[str] | frozenset[str]) -> dict[str, AuditedFile]:
        files = [file for file in self.plan.distfiles if file.name in names]
        return rootfs.bring_distfiles(self.root, self.order.distfiles, files, self.listener.hashed)

    def _do(self, task: HandoffTask) -> None:
        """Run one and keep it.  Raises _Stopped."""
        files = self._bring(task.row.files) if task.row else {}
        if missing := [row.file for row in files.values() if row.state == "missing"]:
            names = ", ".join(f"{file.name} ({file.lines[0].where})" for file in missing)
            message = (
                f"{task.title} needs {names}: not in {self.order.distfiles}; bootstrap handoff"
                " sources gets it, then go on with --resume"
            )
            raise _Stopped(StepFailure(task, message), "missing")
        given = [f"/{rootfs.DISTFILES}/{n} sha256 {row.file.sha256}" for n, row in files.items()]
        self.state.running = task.key
        self.work.write(self.state)
        container = self._started_by(task)
        log, tail, ended = self._run(task, container)
        if ended.status != 0 or ended.over_time:
            message = f"{task.title}: {_why(ended, self.order.limits)}"
            facts = os.statvfs(self.work.folder)
            if (free := facts.f_bavail * facts.f_frsize) < _FULL:
                message += f"; the disk of {self.work.folder} is full ({free >> 20} MB left)"
            raise _Stopped(self._failure(task, container, message, given, tail), "failed")
        rows = self._checked(task)
        # Values of the checkout were read anew.
        rootfs.read_same(self.order.checkout, self.plan)
        if wrong := [row for row in rows if row.state == "mismatch"]:
            message = (
                f"{task.title}: {len(wrong)} of {len(rows)} files are not what they should be;"
                f" {wrong[0].path} {_difference(wrong[0])}"
            )
            failure = self._failure(task, container, message, given)
            raise _Stopped(replace(failure, checked=tuple(rows)), "mismatch")
        for name in (f"{rootfs.STEP}.kaem", f"{rootfs.STEP}.sh", rootfs.EXPORTED):
            (self.root / name).unlink(missing_ok=True)
        engine, seconds = str(self.choice.engine), round(ended.seconds, 3)
        finished = FinishedStep(task.key, task.title, seconds, log, rows, engine)
        self.state.finished.append(finished)
        self._keep(self.state)
        self.listener.ended(finished)

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
        if not self.heads:
            self._read_heads()
        step = task.row.step
        text = rootfs.lines_of(step)
        if step.era == "bash":
            # A bash script of one step, which at its end says what it exports.
            exports = f"cat /proc/self/environ > /{rootfs.EXPORTED}"
            self._script(f"{rootfs.STEP}.sh", *self.heads[step.script], *text, exports)
            if self.state.exported is not None:
                return self._container((BASH, f"/{rootfs.STEP}.sh"), self.state.exported)
            text = (f"bash /{rootfs.STEP}.sh",)
        # What kaem has in its environment when /steps/0.sh begins, and that script's head.
        names = (f"{self.arch_dir}/kaem.run", rootfs.HOOK, "seed-full.kaem")
        before = ("set -e", *rootfs.assignments(self.root, *names), *self.heads[0])
        self._script(name, *before, *text)
        return self._container(argv, environment)

    def _read_heads(self) -> None:
        self.heads = rootfs.read_scripts(self.root, [row.step for row in self.plan.rows])

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
        """The log's name, the last of what was written, and how it ended."""
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

                def on_tick(seconds: float) -> None:
                    line = tail[-400:].rstrip().rpartition(b"\n")[2]
                    self.listener.tick(seconds, line.decode("utf-8", "replace"))

                engine, seconds = self.choice.engine, self.order.limits.seconds
                ended = run_container(engine, container, on_output, on_tick, seconds)
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
            self._read_heads()
            return checking.check_before(self.root, self.plan.before)
        if task.row.step.title == "improve reconfigure":
            self.heads = {}
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
        files: Sequence[str],
        tail: bytes = b"",
    ) -> StepFailure:
        """With a script that starts the same container again."""
        lines = tuple(tail.decode("utf-8", "replace").splitlines()[-_LINES:])
        argv = shlex.join(container.argv)
        set_to = " ".join(
            f"{name}={value}" for name, value in sorted(container.environment.items())
        )
        command = shlex.join(self.choice.engine.enter(container))
        text = (
            "#!/bin/sh\n# Enters the container as it was when its step stopped: with a program"
            " and its arguments,\n# or without, to start the step again. --resume throws away what"
            f' is done in it.\n[ $# -gt 0 ] || set -- {argv}\nexec {command} "$@"\n'
        )
        place = self.work.enter
        try:
            place.write_text(text, encoding="utf-8")
            place.chmod(0o755)
            enter = shlex.join(["sh", str(place)])
        except OSError as error:
            enter = f"(no script for it: {place} cannot be written: {error.strerror})"
        return StepFailure(task, message, lines, (argv, set_to, *files), enter)


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
