"""Guest programs give the same output, exit status and files emulated as on a real kernel."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import pytest

from bootstrap.instruments import Engine, default_engine
from bootstrap.linux.call_tables import CALLS
from bootstrap.linux.events import CallBegan, Event
from tests.instruments.runs import cpu_flags
from tests.linux import by_qemu, differential
from tests.linux.differential import Outcome

NATIVE, BY_QEMU = differential.NATIVE, differential.BY_QEMU
ABIS = (*NATIVE, *BY_QEMU)
PROGRAMS_BY_QEMU = [p for p in differential.PROGRAMS if p not in differential.NOT_BY_QEMU]


class Built:
    """Builds each guest once, and asks once whether it can be run other than emulated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._elfs: dict[tuple[str, str], bytes] = {}
        self._real: dict[str, str | None] = {}

    def elf(self, program: str, abi: str) -> bytes:
        key = (program, abi)
        reason = differential.compiler_reason(abi)
        if reason is not None:
            pytest.skip(f"guest programs cannot be built: {reason}")
        if key not in self._elfs:
            self._elfs[key] = differential.build(program, abi, self._folder / abi)
        return self._elfs[key]

    def real_reason(self, abi: str) -> str | None:
        if abi not in self._real:
            self._real[abi] = differential.real_reason(self.elf("faults", abi), abi)
        return self._real[abi]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("guests"))


@pytest.fixture(scope="module", params=["default", "python"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The default engine (native hot path, where it was built), and the pure Python path."""
    found = default_engine()
    return found.in_python() if request.param == "python" else found


@pytest.mark.parametrize("abi", NATIVE)
@pytest.mark.parametrize("program", differential.PROGRAMS)
def test_emulated_is_as_recorded(built: Built, engine: Engine, program: str, abi: str) -> None:
    outcome = differential.run_emulated(built.elf(program, abi), engine)
    assert_same(outcome, differential.recorded()[program][abi])


@pytest.mark.parametrize("abi", BY_QEMU)
@pytest.mark.parametrize("program", PROGRAMS_BY_QEMU)
def test_emulated_is_as_under_qemu(built: Built, engine: Engine, program: str, abi: str) -> None:
    outcome = differential.run_emulated(built.elf(program, abi), engine)
    assert_same(outcome, by_qemu.expected(program, abi))


@pytest.mark.parametrize("abi", BY_QEMU)
def test_pages_are_those_of_the_hosts_kernel(built: Built, engine: Engine, abi: str) -> None:
    outcome = differential.run_emulated(built.elf("pages", abi), engine)
    native = differential.recorded()["pages"]["x86_64"]
    assert_same(
        by_qemu.without_instructions(outcome, abi), by_qemu.without_instructions(native, "x86_64")
    )


@pytest.mark.root
@pytest.mark.parametrize("abi", NATIVE)
@pytest.mark.parametrize("program", differential.PROGRAMS)
def test_native_is_as_recorded(built: Built, program: str, abi: str) -> None:
    assert_recorded(built, program, abi)


@pytest.mark.root
@pytest.mark.parametrize("abi", BY_QEMU)
@pytest.mark.parametrize("program", PROGRAMS_BY_QEMU)
def test_qemu_is_as_recorded(built: Built, program: str, abi: str) -> None:
    assert_recorded(built, program, abi)


def assert_recorded(built: Built, program: str, abi: str) -> None:
    elf = built.elf(program, abi)
    reason = built.real_reason(abi)
    if reason is not None:
        pytest.skip(f"{abi} guests can only be emulated: {reason}")
    if program == "pages" and abi in NATIVE and "ospke" in cpu_flags():
        # pkeys(7): what is mapped with PROT_EXEC alone cannot be read then.
        pytest.skip("this CPU has protection keys, and the guest's has none (docs/guest.md)")
    outcome, expected = differential.run_real(elf, abi), differential.recorded()[program][abi]
    # Where qemu-user is not Linux, an address may stand in an answer.
    skipped = {"no replace"} if abi in BY_QEMU else set()
    lines = [
        [line for line in told.stdout if line.rpartition(" = ")[0] not in skipped]
        for told in (outcome, expected)
    ]
    assert_same(outcome._replace(stdout=lines[0]), expected._replace(stdout=lines[1]))


def assert_same(outcome: Outcome, expected: Outcome) -> None:
    differing = [
        f"line {number}: {here!r}, and a real kernel {there!r}"
        for number, (here, there) in enumerate(
            zip_longest(outcome.stdout, expected.stdout, fillvalue="nothing"), 1
        )
        if here != there
    ]
    assert not differing
    assert outcome.status == expected.status
    assert outcome.tree == expected.tree


@pytest.mark.parametrize("abi", ABIS)
def test_every_implemented_call_is_exercised(built: Built, abi: str) -> None:
    called: set[str] = set()

    def listen(event: Event) -> None:
        if isinstance(event, CallBegan):
            called.add(event.call.row.name)

    left_out = {"random", "pages", *(() if abi in NATIVE else ("thread",))}
    for program in set(differential.PROGRAMS) - left_out:
        differential.run_emulated(built.elf(program, abi), default_engine(), listen)
    assert called == {call.row.name for call in CALLS[abi].values()}
