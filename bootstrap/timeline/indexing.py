"""Makes the index beside a trace, by running every program of it again."""

from collections.abc import Callable

from bootstrap.instruments import Engine
from bootstrap.timeline.checkpoints import Checkpoint, Checkpoints, IndexWriter
from bootstrap.timeline.timeline import Counting, Timeline, Unsure
from bootstrap.trace.container import sealed
from bootstrap.trace.store import Trace

SPACING = 50_000_000
"""Instructions between two states; a tenth to a third of a second of running."""


class _WrittenCheckpoints(Checkpoints):
    """Are kept in the file, not in memory."""

    def __init__(self, writer: IndexWriter) -> None:
        super().__init__()
        self._writer = writer
        self._last = 0, 0

    def add(self, row: int, checkpoint: Checkpoint) -> None:
        """Where a program begins, the trace has the state itself."""
        if checkpoint.executed:
            self._writer.checkpoint(row, checkpoint)
            self._last = row, checkpoint.executed

    def has(self, row: int, executed: int) -> bool:
        """Whether it is the last one."""
        return self._last == (row, executed)

    def forget(self, row: int) -> None:
        """Those of the program were not counted right."""
        self._writer.forget(row)
        self._last = 0, 0


def build(
    trace: Trace,
    engine: Engine,
    name: str,
    progress: Callable[[int, int], None] = lambda _row, _executed: None,
) -> int:
    """Run every program of the trace, and write the index; how many instructions there are.

    Raises BadInput, Diverged (trace/compare.py), and what `progress` raises; then nothing is left.
    """
    with sealed(IndexWriter, name) as writer:
        checkpoints = _WrittenCheckpoints(writer)
        for counting in (Counting.BLOCKS, Counting.EACH):
            timeline = Timeline(
                trace, engine, progress, counting=counting, checkpoints=checkpoints,
                spacing=SPACING,
            )  # fmt: skip
            try:
                _run(timeline, checkpoints, counting is Counting.BLOCKS)
            finally:
                timeline.close()
        writer.finish(trace, checkpoints.totals)
        return sum(checkpoints.totals.values())


def _run(timeline: Timeline, checkpoints: _WrittenCheckpoints, by_blocks: bool) -> None:
    """Every program whose end is not known yet, and that can be counted so."""
    for program in timeline.trace.programs:
        row = program.id
        if row in checkpoints.totals or (by_blocks and timeline.faulted(row)):
            continue
        timeline.close()
        timeline.seek(row, 0)
        try:
            timeline.run_out(row)
        except Unsure:
            checkpoints.forget(row)
