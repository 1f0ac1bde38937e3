"""Without a look for a request to stop after each access, a block still ends where it has to."""

from __future__ import annotations

import ctypes

import pytest
from unicorn import UC_ARCH_X86, UC_HOOK_CODE, UC_MODE_32, Uc
from unicorn.x86_const import UC_X86_REG_EAX

from bootstrap.instruments import exit_checks
from tests.instruments.runs import EACH_HOT_PATH
from tests.instruments.test_other_architectures import BASE, CODE, exit_with, run, words

SIGILL, SIGSEGV = 4, 11
LEFT_OUT = pytest.mark.parametrize("left_out", [True, False], ids=["left out", "there"])


@pytest.fixture
def maybe(left_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host where the switch was found, and as on one where it was not."""
    if not left_out:
        monkeypatch.setattr(exit_checks, "offset", lambda: None)


def test_the_switch_is_found_here() -> None:
    """In every build of the pinned version that we have met: a slow run must not go unnoticed."""
    assert exit_checks.offset() is not None
    assert exit_checks.describe() == "at the start of each block"


@LEFT_OUT
def test_what_the_switch_does(left_out: bool) -> None:
    """Told to stop at the second of three instructions, a CPU does so, or finishes its block."""
    uc = Uc(UC_ARCH_X86, UC_MODE_32)
    exit_checks.leave_out(uc._uch, True)
    exit_checks.leave_out(uc._uch, left_out)
    uc.mem_map(0x1000, 0x1000)
    uc.mem_write(0x1000, bytes.fromhex("40 40 40 ebfb"))
    uc.hook_add(UC_HOOK_CODE, lambda uc, *_: uc.emu_stop(), begin=0x1001, end=0x1001)
    uc.emu_start(0x1000, 0x2000)
    assert uc.reg_read(UC_X86_REG_EAX) == (3 if left_out else 1)


def test_nothing_else_is_changed() -> None:
    uc = Uc(UC_ARCH_X86, UC_MODE_32)
    at = exit_checks.offset()
    assert at is not None
    assert uc._uch.value is not None
    before = ctypes.string_at(uc._uch.value, 4096)
    exit_checks.leave_out(uc._uch)
    after = ctypes.string_at(uc._uch.value, 4096)
    assert [n for n in range(4096) if before[n] != after[n]] == [at]
    exit_checks.leave_out(uc._uch, False)
    assert ctypes.string_at(uc._uch.value, 4096) == before


def test_not_found_where_no_byte_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where several do: then it is not known which."""
    monkeypatch.setattr(exit_checks, "_CONDITIONAL", exit_checks._PLAIN)
    assert exit_checks.offset.__wrapped__() is None
    monkeypatch.setattr(exit_checks, "_PATTERN", (0, 0, 0))
    assert exit_checks.offset.__wrapped__() is None


EXIT_77 = {
    "i386": bytes.fromhex("b801000000 bb4d000000 cd80"),
    "x86_64": bytes.fromhex("b83c000000 bf4d000000 0f05"),
    **{abi: exit_with(abi, 77) for abi in ("aarch64", "riscv64", "riscv32")},
}
BAD = [
    ("i386", "write", bytes.fromhex("a208000000")),  # mov [8], al
    ("i386", "read", bytes.fromhex("8a0508000000")),
    ("i386", "write", bytes.fromhex("aa")),  # stosb, edi 0
    ("x86_64", "write", bytes.fromhex("88042508000000")),
    ("x86_64", "read", bytes.fromhex("8a042508000000")),
    ("aarch64", "write", words(0xF9000420)),  # str x0, [x1, #8]
    ("aarch64", "read", words(0xF9400420)),  # ldr x0, [x1, #8]
    ("riscv64", "write", words(0x00002423)),  # sw zero, 8(zero)
    ("riscv64", "read", words(0x00802503)),  # lw a0, 8(zero)
    ("riscv32", "write", words(0x00002423)),
    ("riscv32", "read", words(0x00802503)),
]


@EACH_HOT_PATH
@LEFT_OUT
@pytest.mark.usefixtures("maybe")
@pytest.mark.parametrize(("abi", "kind", "code"), BAD)
def test_nothing_of_a_block_runs_after_a_bad_access(
    abi: str, kind: str, code: bytes, hot_path: str
) -> None:
    ended = run(abi, code + EXIT_77[abi], hot_path)
    assert ended.status == SIGSEGV
    assert ended.fault is not None
    assert ended.fault.pc == BASE + CODE
    assert ended.fault.guest_addr in (0, 8)
    assert kind in ended.fault.reason


@EACH_HOT_PATH
@LEFT_OUT
@pytest.mark.usefixtures("maybe")
@pytest.mark.parametrize(
    ("abi", "code", "signal"),
    [
        ("i386", bytes.fromhex("e410"), SIGSEGV),  # in al, 0x10
        ("i386", bytes.fromhex("e610"), SIGSEGV),  # out 0x10, al
        ("i386", bytes.fromhex("0f34"), SIGILL),  # sysenter
        ("x86_64", bytes.fromhex("e410"), SIGSEGV),
        ("x86_64", bytes.fromhex("e610"), SIGSEGV),
    ],
)
def test_no_system_call_after_a_refused_instruction(
    abi: str, code: bytes, signal: int, hot_path: str
) -> None:
    """The rest of its block runs, in Unicorn; that must not be seen outside the process."""
    ended = run(abi, code + EXIT_77[abi], hot_path)
    assert ended.status == signal
    assert ended.fault is not None
    assert ended.fault.pc == BASE + CODE
