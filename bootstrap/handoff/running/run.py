"""The run: one step after another, each in a container of its own, followed, checked and kept."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bootstrap.core.errors import BadInput
from bootstrap.handoff.audit import Found
from bootstrap.handoff.checks import PACKAGES, read_sums, read_text
from bootstrap.handoff.configuration import ARCHITECTURES
from bootstrap.handoff.plan import Plan
from bootstrap.handoff.running import checking, explaining, layout, scripts
from bootstrap.handoff.running.box import Box, engine_text
from bootstrap.handoff.running.choosing import choose, kill_leftovers
from bootstrap.handoff.running.following import Ended, run_box
from bootstrap.handoff.running.order import (
    STAGE0,
    Failure,
    Order,
    Outcome,
    Result,
    Task,
    Tell,
    last_task,
    tasks_of,
)
from bootstrap.handoff.running.owner import box_ids
from bootstrap.handoff.running.saving import Saved, remove
from bootstrap.handoff.running.stage0 import Stage0
from bootstrap.handoff.running.state import CheckedFile, Finished, State, WorkFolder
from bootstrap.handoff.running.within import read_inside

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


def run(order: Order, plan: Plan, stage0: Stage0, tell: Tell) -> Outcome:
    """Do it.  Raises BadInput, and KeyboardInterrupt after the container was ended.

    Whatever happens, steps that were finished stay finished.
    """
    require_sense(order, plan)
    work = WorkFolder(order.work)
    try:
        with work.locked():
            return _Run(order, plan, stage0, tell, work).do()
    except OSError as error:
        name = os.fsdecode(error.filename or work.folder)
        raise BadInput(f"{name}: {error.strerror}; what was finished is kept") from None


def require_sense(order: Order, plan: Plan) -> None:
    """Raise BadInput where no run can come of it: cheap, for before what takes long."""
    last_task(tasks_of(plan), order.until)
    if plan.variables.get("UPDATE_CHECKSUMS") != "False":
        raise BadInput("--set UPDATE_CHECKSUMS: a run never lets upstream write values anew")
    machine = platform.machine()
    if machine not in _MACHINES.get(plan.arch, (plan.arch,)):
        raise BadInput(f"--arch {plan.arch}: this machine is {machine}, and cannot run that")
    for row in plan.rows:
        scripts.lines_of(row.step)
    if not order.distfiles.is_dir():
        raise BadInput(
            f"--distfiles {order.distfiles}: there is no such folder; bootstrap handoff sources"
            " makes and fills it"
        )


class _Missing(Exception):
    """A step needs a distfile that is not there."""


class _Run:
    def __init__(
        self, order: Order, plan: Plan, stage0: Stage0, tell: Tell, work: WorkFolder
    ) -> None:
        self.order, self.plan, self.stage0, self.tell, self.work = order, plan, stage0, tell, work
        self.root = work.root
        self.saved = Saved(work.root, work.saved, (layout.DISTFILES,), box_ids())
        self.arch_dir = ARCHITECTURES[plan.arch]
        self.tasks = tasks_of(plan)
        self.distfiles = {file.name: file for file in plan.distfiles}
        self.read: scripts.Scripts | None = None

    def do(self) -> Outcome:
        last = last_task(self.tasks, self.order.until)
        state = self.work.read()
        self._require_fitting(state)
        self.choice = choose(self.order.engine, self.plan.arch, self.order.limits, self.work.folder)
        engine = self.choice.engine
        for name, reason in self.choice.others:
            self.tell.said(f"not {name}: {reason}")
        self.tell.said(f"engine: {engine_text(engine)}")
        self.state = self._laid_out() if state is None else self._gone_back(state)
        self._distfiles(self.plan.needed)
        before = len(self.state.finished)
        result: Result = "done" if last == len(self.tasks) - 1 else "until"
        failure = None
        for number in range(len(self.state.finished), last + 1):
            task = self.tasks[number]
            self.tell.began(task, number, len(self.tasks) - 1)
            try:
                failure, bad = self._task(task)
            except _Missing as error:
                failure, bad = Failure(task, str(error)), "missing"
            if failure is not None:
                result = bad
                break
        sums = read_sums(read_text(self.order.checkout, PACKAGES), PACKAGES)
        layout.read_same(self.order.checkout, self.plan)
        # What a step left half done is not there in the copy, from which a next run goes on.
        good = self.saved.tree if self.state.running is not None else self.root
        packages = tuple(checking.check_packages(good, sums))
        finished = tuple(self.state.finished)
        return Outcome(
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

    def _require_fitting(self, state: State | None) -> None:
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

    def _laid_out(self) -> State:
        self.tell.said(f"laying out {self.root}")
        for place in (self.root, self.work.saved, self.work.logs):
            remove(place)
        layout.lay_out(self.root, self.order.checkout, self.plan, self.stage0)
        state = State(2, self._identity())
        if self.stage0.products is not None:
            rows = checking.check_stage0(self.root, self.stage0.known)
            if wrong := [row for row in rows if row.state == "mismatch"]:
                raise BadInput(
                    f"{self.stage0.title}: {len(wrong)} of {len(rows)} products are not what they"
                    f" should be, the first is {wrong[0].path}; nothing was started"
                )
            state.finished.append(Finished(STAGE0, "stage0, by emulation", 0.0, "", rows))
        self._keep(state)
        return state

    def _compared_again(self, state: State) -> None:
        """What is known of stage0 now is held against what was found of it then."""
        done = next((done for done in state.finished if done.key == STAGE0), None)
        if done is None:
            return
        found = {row.path: row.found for row in done.checked}
        before = {(row.path, row.expected) for row in done.checked}
        for path, sha256, by in self.stage0.known:
            row = CheckedFile(path, found.get(path), sha256, by)
            if row.state == "mismatch":
                raise BadInput(f"{self.work.folder}: in its stage0, {path} {explaining.found(row)}")
            if (path, sha256) not in before:
                done.checked.append(row)

    def _gone_back(self, state: State) -> State:
        """Throw away what a step did that was not finished."""
        self._compared_again(state)
        if state.saving:
            self._keep(state)
        elif state.running is not None:
            kill_leftovers(self.work.box_name)
            self.choice.engine.kill(self._boxed((), {}))
            changed = self.saved.restore()
            self.tell.said(
                f"went back to the end of {self._title(len(state.finished) - 1)}:"
                f" {changed} paths of the root"
            )
            state.running = None
            self.work.write(state)
        return state

    def _title(self, number: int) -> str:
        return self.tasks[number].title if number >= 0 else "the layout"

    def _keep(self, state: State) -> None:
        """The root is good: keep a copy.  What comes between is made good by the next run."""
        state.running, state.saving = None, True
        self.work.write(state)
        self.saved.save()
        state.saving = False
        self.work.write(state)

    # -- steps ----------------------------------------------------------------------------------

    def _distfiles(self, names: Sequence[str] | frozenset[str]) -> dict[str, Found]:
        files = [self.distfiles[name] for name in self.distfiles if name in names]
        return layout.bring_distfiles(self.root, self.order.distfiles, files, self.tell.looked_at)

    def _task(self, task: Task) -> tuple[Failure | None, Result]:
        """Run one and keep it; the failure, if any, and what it is."""
        given = self._require_distfiles(task)
        self.state.running = task.key
        self.work.write(self.state)
        box = self._box(task)
        log, tail, ended = self._run(task, box)
        if ended.status != 0 or ended.over_time:
            why = explaining.why(ended, self.order.limits)
            message = f"{task.title}: {why}{explaining.full(self.work.folder)}"
            return self._failure(task, box, message, tail, given), "failed"
        rows = self._checked(task)
        # Values of the checkout were read anew.
        layout.read_same(self.order.checkout, self.plan)
        if any(row.state == "mismatch" for row in rows):
            wrong = [row for row in rows if row.state == "mismatch"]
            first = wrong[0]
            message = (
                f"{task.title}: {len(wrong)} of {len(rows)} files are not what they should be;"
                f" {first.path} {explaining.found(first)}"
            )
            failure = self._failure(task, box, message, b"", given)
            return replace(failure, checked=tuple(rows)), "mismatch"
        self._clear()
        engine = engine_text(self.choice.engine)
        finished = Finished(task.key, task.title, round(ended.seconds, 3), log, rows, engine)
        self.state.finished.append(finished)
        self._keep(self.state)
        self.tell.ended(finished)
        return None, "done"

    def _require_distfiles(self, task: Task) -> tuple[str, ...]:
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
            f"/{layout.DISTFILES}/{row.file.name} sha256 {row.file.sha256}"
            for row in found.values()
        )

    def _box(self, task: Task) -> Box:
        """What is to be started, with the script for it in the root."""
        environment = {"PATH": "/bin"}
        kaem = f"/{self.arch_dir}/bin/kaem"
        if task.key == STAGE0:
            seed = f"/bootstrap-seeds/POSIX/{self.arch_dir}/kaem-optional-seed"
            return self._boxed((seed,), environment)
        name = f"{scripts.STEP}.kaem"
        argv = (kaem, "--verbose", "--strict", "--file", f"/{name}")
        if task.row is None:
            layout.put_hook(self.root, layout.read_same(self.order.checkout, self.plan))
            lines = scripts.assignments(self.root, [f"{self.arch_dir}/kaem.run"])
            text = "\n".join([*lines, f"{kaem} --verbose --strict --file ./{layout.HOOK}"]) + "\n"
            self._script(name, text)
            return self._boxed(argv, environment)
        layout.require_enforced(self.root, self.plan.variables)
        if self.read is None:
            self.read = scripts.read_scripts(self.root, [row.step for row in self.plan.rows])
        step = task.row.step
        if step.era == "kaem":
            self._script(name, scripts.kaem_step(self.root, self.arch_dir, self.read, step))
            return self._boxed(argv, environment)
        self._script(f"{scripts.STEP}.sh", scripts.bash_step(self.read, step))
        if self.state.exported is None:
            self._script(name, scripts.first_bash_step(self.root, self.arch_dir, self.read))
            return self._boxed(argv, environment)
        return self._boxed((BASH, f"/{scripts.STEP}.sh"), self.state.exported)

    def _boxed(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> Box:
        arch, limits = self.plan.arch, self.order.limits
        return Box(self.work.box_name, self.root, arch, argv, environment, limits)

    def _script(self, name: str, text: str) -> None:
        place = self.root / name
        try:
            place.unlink(missing_ok=True)
            place.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{place}: cannot be written: {error.strerror}") from None

    def _clear(self) -> None:
        for name in (f"{scripts.STEP}.kaem", f"{scripts.STEP}.sh", scripts.EXPORTED):
            (self.root / name).unlink(missing_ok=True)

    def _run(self, task: Task, box: Box) -> tuple[str, bytes, Ended]:
        number = task.key.zfill(3) if task.row else "000"
        name = f"{number}-{task.title.replace(' ', '-').replace('/', '_')[:80]}.log"
        place = self.work.logs / name
        tail = bytearray()
        try:
            self.work.logs.mkdir(exist_ok=True)
            with place.open("wb", buffering=0) as log:

                def hear(data: bytes) -> None:
                    log.write(data)
                    tail.extend(data)
                    del tail[:-_TAIL]

                ended = run_box(
                    self.choice.engine,
                    box,
                    hear,
                    lambda seconds: self.tell.tick(seconds, explaining.last_line(bytes(tail))),
                    self.order.limits.seconds,
                )
        except OSError as error:
            raise BadInput(
                f"{place}: cannot be written: {error.strerror}; the step was stopped, and --resume"
                " begins it again"
            ) from None
        return f"logs/{name}", bytes(tail), ended

    def _checked(self, task: Task) -> list[CheckedFile]:
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
            self.read = scripts.read_scripts(self.root, [row.step for row in self.plan.rows])
            return checking.check_before(self.root, self.plan.before)
        if task.row.step.title == "improve reconfigure":
            self.read = None
        if task.row.step.era == "bash":
            data = read_inside(self.root, scripts.EXPORTED)
            self.state.exported = scripts.read_exported(data)
        return checking.check_step(self.root, self.order.checkout, task.row)

    # -- when it fails --------------------------------------------------------------------------

    def _failure(
        self, task: Task, box: Box, message: str, tail: bytes, files: tuple[str, ...]
    ) -> Failure:
        lines = tail.decode("utf-8", "replace").splitlines()[-_LINES:]
        given = [
            shlex.join(box.argv),
            " ".join(f"{name}={value}" for name, value in sorted(box.environment.items())),
            *files,
        ]
        return Failure(task, message, tuple(lines), tuple(given), self._write_enter(box))

    def _write_enter(self, box: Box) -> str:
        """A script that starts the same container again."""
        command = self.choice.engine.enter(box)
        text = (
            "#!/bin/sh\n# Enters the container as it was when its step stopped: with a program"
            " and its arguments,\n# or without, to start the step again. --resume throws away what"
            " is done in it.\n"
            f'[ $# -gt 0 ] || set -- {shlex.join(box.argv)}\nexec {shlex.join(command)} "$@"\n'
        )
        try:
            self.work.enter.write_text(text, encoding="utf-8")
            self.work.enter.chmod(0o755)
        except OSError as error:
            return f"(no script for it: {self.work.enter} cannot be written: {error.strerror})"
        return shlex.join(["sh", str(self.work.enter)])
