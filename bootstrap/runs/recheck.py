"""The recheck: the core alone, in an isolated interpreter, on the same tree; and what it found.

The tree is laid out anew in a folder that is made for it; the core reads that, and the step file,
by itself. Nothing of this process is taken over.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bootstrap import host, signals
from bootstrap.core.errors import BadInput
from bootstrap.core.release import Tree
from bootstrap.core.verdict import Findings
from bootstrap.documents import from_json
from bootstrap.known import StepFile
from bootstrap.known.steps import data_dir
from bootstrap.report import Recheck, Report, lowered
from bootstrap.sources.tree import lay_out

TICK = 0.2
"""Seconds between two looks at a core that is at work."""


def rechecked(
    report: Report,
    findings: Findings | None,
    tree: Tree,
    step: StepFile,
    tick: Callable[[], None] = lambda: None,
) -> Report:
    """The report, with what the core alone finds; not verified where that is something else.

    `findings` are those of the run with the fast path, `tick` is called while the core works.
    Raises KeyboardInterrupt. Where it cannot be started the report says so: what was found until
    then is not lost.
    """
    if findings is None:
        found = Recheck(None, None, None, 0, ("no step file of ours says what should come of it",))
    else:
        try:
            core = _run(tree, step, findings.entry, tick)
        except BadInput as error:
            core = f"it could not be started: {error}"
        found = compared(findings, core)
    report = replace(report, recheck=found)
    if not found.differences:
        return replace(report, decided_by="core")
    return lowered(report, f"the core alone finds otherwise: {'; '.join(found.differences)}")


def compared(fast: Findings, core: Findings | str) -> Recheck:
    """Two runs of one thing; `core` is a line where it came to no verdict."""
    if isinstance(core, str):
        return Recheck(None, None, None, 0, (core,))
    texts = [
        f"{what} {ours}, the core {theirs}"
        for what, ours, theirs in (
            ("result", fast.result, core.result),
            ("tree digest", fast.tree_digest, core.tree_digest),
            ("step file sha256", fast.judged_by_sha256, core.judged_by_sha256),
            ("entry", fast.entry, core.entry),
        )
        if ours != theirs
    ]
    made = {file.path: file.sha256 for file in fast.artifacts}
    theirs = {file.path: file.sha256 for file in core.artifacts}
    texts += [
        f"{path} {made.get(path) or 'is not there'}, the core {theirs.get(path) or 'has none'}"
        for path in {**made, **theirs}
        if made.get(path) != theirs.get(path) or (path in made) != (path in theirs)
    ]
    return Recheck(core.result, core.tree_digest, core.judged_by_sha256, len(theirs), tuple(texts))


def _run(tree: Tree, step: StepFile, entry: str, tick: Callable[[], None]) -> Findings | str:
    steps = data_dir("steps") / step.file.rpartition("/")[2]
    with _laid_out(tree) as folder:
        process = host.start(
            "bootstrap.core.__main__", "main",
            str(folder), "--arch", step.arch, "--entry", entry, "--steps", str(steps), "--json",
        )  # fmt: skip
        said: list[bytes] = []
        assert process.stdin is not None and process.stdout is not None
        out = process.stdout
        reader = threading.Thread(target=lambda: said.append(out.read()), daemon=True)
        try:
            process.stdin.close()
            reader.start()
            while reader.is_alive():
                reader.join(TICK)
                tick()
            status = process.wait()
        finally:
            with signals.held:
                process.kill()
                process.wait()
                if reader.ident is not None:
                    reader.join()
                out.close()
    try:
        found = from_json(Findings, b"".join(said), "what the core alone said")
    except BadInput as error:
        why = f" ({error})" if said[0] else ""
        return f"it came to no verdict: it ended with status {status}{why}"
    if status != found.exit_status:
        return f"it came to no verdict: it ended with status {status}, and said {found.result}"
    return found


@contextmanager
def _laid_out(tree: Tree) -> Iterator[Path]:
    """The tree in a new folder, for the block only. Raises BadInput."""
    where = Path(tempfile.gettempdir())
    try:
        with signals.scratch_folder("bootstrap-recheck-") as where:
            lay_out(tree, where)
            yield where
    except OSError as error:
        raise BadInput(f"{where}: the tree cannot be laid out: {error.strerror}") from None
