"""The table of opinions, and the rule by which two of them are independent.

**The rule.** Two opinions are independent if they differ in the code that executes instructions, or
in the kernel that serves the system calls, or in the chain of tools that built the artifact, or are
published by different parties. What has all four alike counts once, however often it was run.

So the core and the fast path count once (one CPU code, one kernel of ours, in Python and in C), and
Unicorn and qemu-user are one CPU code, QEMU's TCG, under two kernels. A native run that this
project recorded counts once with a native run made here. Diverse double-compiling counts by its
chain of tools alone: its CPU code and kernel are the core's. What all opinions share stands in
`SHARED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TCG, VEX, SILICON, NONE = "QEMU/TCG", "valgrind's VEX", "silicon", "none"
OURS, LINUX = "ours", "Linux"
ITS_OWN, HERE = "its own", ""
ALL: tuple[str, ...] = ("x86", "AMD64", "AArch64", "riscv64", "riscv32")

RULE = (
    "Two opinions are independent if they differ in CPU code, in kernel or in the chain of tools, "
    "or are published by different parties. All others count once."
)
SHARED = (
    "All opinions read the same sources: what they agree on is what these sources give, not "
    "whether the sources are harmless. All that is made here shares this machine and its hardware."
)

Reach = Literal["all", "some"]


@dataclass(frozen=True)
class Way:
    """A column of the table."""

    name: str
    title: str
    cpu: str
    """The code that executes instructions."""
    kernel: str
    value: str
    """Where the value that it holds an artifact against, or gives, comes from."""
    chain: str = ITS_OWN
    """The tools that built the artifact; `its own`: those that the release builds on its way."""
    publisher: str = HERE
    """Who published it; empty: it is made here."""
    reach: Reach = "all"
    """`all`: an artifact that it does not have is a difference; `some`: nothing is said of it."""
    arches: tuple[str, ...] = ALL
    makes: bool = True
    """Whether `confirm --run` makes it; else it is read, every time."""

    @property
    def independence(self) -> tuple[str, str, str, str]:
        """Opinions with the same count once."""
        return self.cpu, self.kernel, self.chain, self.publisher


WAYS = (
    Way("core", "the core alone, pure Python", TCG, OURS, "step file"),
    Way("fast-path", "our machine with the fast path", TCG, OURS, "step file"),
    Way("builder-hex0", "a PC under builder-hex0's own kernel", TCG, "builder-hex0's",
        "its products", arches=("x86",)),
    Way("qemu-user", "qemu-user under this host's Linux", TCG, LINUX, "its products"),
    Way("native", "this host's processor and Linux, in the hand-off's box", SILICON, LINUX,
        "its products", arches=("x86", "AMD64")),
    Way("valgrind", "valgrind's CPU under this host's Linux, command by command", VEX, LINUX,
        "its products", reach="some", arches=("x86", "AMD64")),
    Way("models", "the language models, as far as they reach", NONE, NONE,
        "pure function of the sources", chain="functions in Python", reach="some"),
    Way("proof", "the proof that the seed is hex0, and hex0 by the checker's definition",
        "the checker's interpreter", "its contract", "the language", chain="a proven seed",
        reach="some"),
    Way("knight", "stage0's own machine runs its own hex0", "the knight, in Python", NONE,
        "another chain", chain="stage0 for the knight", reach="some"),
    Way("ddc", "diverse double-compiling: our own hex0 to M0", TCG, OURS, "another chain",
        chain="our tools", reach="some", arches=("x86", "AMD64")),
    Way("answers", "upstream's answers file", "theirs", "theirs", "published",
        publisher="stage0-posix", reach="some", makes=False),
    Way("pins", "hashes of the seeds that nixpkgs pins by content", "theirs", "theirs", "published",
        publisher="nixpkgs", reach="some", makes=False),
    Way("recorded", "a native run that this project recorded", SILICON, LINUX, "step file",
        reach="some", makes=False),
    Way("attested", "signed attestations that meet the policy given", "stated", "stated",
        "published", publisher="its signers", reach="some", makes=False),
)  # fmt: skip
"""Every kind of opinion. `docs/confirm.md` has the same table, and a test holds it against this."""
BY_NAME = {way.name: way for way in WAYS}
