"""The system calls of a run as columns, for whoever records them: the observer that owns the log.

Both hot paths append to the same buffers: Python through `append`, fastpath.c through the pointers
that fastpath.py lends it. The log holds calls of one process at a time; its owner takes them
(`hand_over`) when it is full and before another process runs.
"""

from collections.abc import Callable, Sequence

CAPACITY = 1 << 16
"""Calls that the log holds, and the most that `take` is given at once."""
COLUMNS = ("nr", "a0", "a1", "a2", "result")


class CallBuffer:
    """Calls in order: number, the first three arguments, result.

    Values are registers of the process: unsigned, of its word's width; a failed call's result is
    -errno in that width. An argument that the call does not have is 0. Fourth and later arguments,
    which few calls have, are in `more`: (index, number of the argument, value).
    """

    def __init__(self, take: Callable[[], None]) -> None:
        """`take` is called by `hand_over`, while the columns still hold the calls."""
        self._take = take
        self.header = bytearray(16)
        """How many calls there are, and at how many fastpath.c leaves the next one to `append`."""
        self.buffers = (bytearray(4 * CAPACITY), *(bytearray(8 * CAPACITY) for _ in range(4)))
        """One for each of COLUMNS; fastpath.c writes to them, so they never move."""
        self.more: list[tuple[int, int, int]] = []
        self.handed_over = 0
        """Calls that were taken so far, of all processes."""
        self._count = memoryview(self.header).cast("Q")
        self._count[1] = CAPACITY
        self._only_python = False
        self._stop: tuple[int, Callable[[], None]] | None = None
        self.word = 0
        self.use_word(8)

    @property
    def count(self) -> int:
        """Calls in the log now."""
        return self._count[0]

    @property
    def total(self) -> int:
        """Calls so far, of all processes: the scale on which a run's events are placed."""
        return self.handed_over + self._count[0]

    def use_word(self, word: int) -> None:
        """From here on, a process with words of so many bytes is logged. The log is empty."""
        if word != self.word:
            self.word = word
            self._mask = (1 << 8 * word) - 1
            self._numbers = memoryview(self.buffers[0]).cast("I")
            raw = [memoryview(buffer) for buffer in self.buffers[1:]]
            views = [view.cast("I") if word == 4 else view.cast("Q") for view in raw]
            self._a0, self._a1, self._a2, self._results = views

    def stop_at(self, total: int | None, reached: Callable[[], None]) -> None:
        """Call `reached` once so many calls were made in all; None: no more."""
        self._stop = None if total is None else (total, reached)
        self._lower()

    def all_in_python(self) -> None:
        """From here on fastpath.c leaves every call to Python; for who watches what calls do."""
        self._only_python = True
        self._count[1] = 0

    def _lower(self) -> None:
        """fastpath.c must not get past the call that is waited for."""
        room = CAPACITY if self._stop is None else self._stop[0] - 1 - self.handed_over
        self._count[1] = 0 if self._only_python else max(0, min(CAPACITY, room))

    def append(self, registers: Sequence[int], arity: int, result: int) -> None:
        """One call that Python served: the number's register, then those of its arguments, and
        how many arguments it has."""
        index = self._count[0]
        if index == CAPACITY:
            self.hand_over()
            index = 0
        mask = self._mask
        # Every call of a recorded run on the Python path comes through here.
        self._numbers[index] = registers[0] & 0xFFFFFFFF
        self._a0[index] = registers[1] & mask if arity else 0
        self._a1[index] = registers[2] & mask if arity > 1 else 0
        self._a2[index] = registers[3] & mask if arity > 2 else 0
        self._results[index] = result & mask
        if arity > 3:
            for which in range(3, arity):
                self.more.append((index, which, registers[which + 1] & mask))
        self._count[0] = index + 1
        if self._stop is not None and self.handed_over + index + 1 >= self._stop[0]:
            self._stop[1]()

    def columns(self) -> tuple[bytes, ...]:
        """The calls in the log: one bytes object for each of COLUMNS, little-endian (on hosts that
        are; the engine runs on no other)."""
        count = self._count[0]
        widths = (4, self.word, self.word, self.word, self.word)
        return tuple(
            bytes(memoryview(buffer)[: count * width])
            for buffer, width in zip(self.buffers, widths, strict=True)
        )

    def hand_over(self) -> None:
        """Let the owner take what is there, if anything is, and begin anew."""
        if self._count[0]:
            self._take()
            self.handed_over += self._count[0]
            self._count[0] = 0
            self.more.clear()
            if self._stop is not None:
                self._lower()
