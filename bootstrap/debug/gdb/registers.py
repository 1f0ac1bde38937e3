"""The registers of each architecture as gdb wants them: order, sizes, target descriptions.

After gdb's documentation, "Standard Target Features": i386, AArch64, RISC-V. What a recording does
not know (where the x87's last instruction was) is unavailable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Saved = Mapping[str, bytes]
"""Cpu.save(): by name, little-endian, without the zeros at the end."""


@dataclass(frozen=True, slots=True)
class TargetRegister:
    """A register of a target description; `value` takes it out of what a CPU saved."""

    name: str
    bits: int
    type: str
    value: Callable[[Saved], bytes | None]
    """None: unavailable."""
    group: str = ""
    store: Callable[[Saved, bytes], tuple[str, bytes]] | None = None
    """What a CPU is to save for this value (little-endian): its name there, and its bytes; where
    it can be set."""

    def content(self, saved: Saved) -> str:
        """In hex, in target byte order; `xx` for each byte of what is unavailable."""
        raw = self.value(saved)
        size = self.bits // 8
        return "xx" * size if raw is None else raw[:size].ljust(size, b"\0").hex()

    @property
    def xml(self) -> str:
        """Its line."""
        group = f' group="{self.group}"' if self.group else ""
        return f'    <reg name="{self.name}" bitsize="{self.bits}" type="{self.type}"{group}/>'


@dataclass(frozen=True, slots=True)
class Description:
    """All registers of an architecture, in gdb's order."""

    architecture: str
    """"": gdb keeps the one that it was set to."""
    features: tuple[tuple[str, str, tuple[TargetRegister, ...]], ...]
    """(name, types that it needs as XML, registers)"""
    pc: str
    sp: str
    osabi: str = "GNU/Linux"

    @property
    def registers(self) -> tuple[TargetRegister, ...]:
        """In the order of the `g` packet."""
        return tuple(register for _, _, group in self.features for register in group)

    @property
    def promised(self) -> tuple[TargetRegister, ...]:
        """What gdb expects of a program that it knows by its ELF header alone: of RISC-V, which
        has its floating point registers by choice, the general ones."""
        named = self.features[:1] if self.architecture.startswith("riscv") else self.features
        return tuple(register for _, _, group in named for register in group)

    def number(self, name: str) -> int:
        """A register's number."""
        return next(n for n, register in enumerate(self.registers) if register.name == name)

    @property
    def xml(self) -> str:
        """target.xml."""
        lines = [
            '<?xml version="1.0"?>',
            '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
            '<target version="1.0">',
        ]
        if self.architecture:
            lines.append(f"  <architecture>{self.architecture}</architecture>")
        lines.append(f"  <osabi>{self.osabi}</osabi>")
        for name, types, registers in self.features:
            lines += [f'  <feature name="{name}">', *types.splitlines()]
            lines += [register.xml for register in registers]
            lines.append("  </feature>")
        return "\n".join([*lines, "</target>", ""])


def _plain(rows: str, bits: int, type_: str, group: str = "") -> tuple[TargetRegister, ...]:
    """Registers that are as a CPU saves them: of each `NAME[=SAVED AS][:TYPE]`."""

    def one(name: str, key: str, its_type: str) -> TargetRegister:
        return TargetRegister(
            name, bits, its_type, lambda saved: saved[key], group, lambda _, raw: (key, raw)
        )

    found = []
    for row in rows.split():
        names, _, its_type = row.partition(":")
        name, _, key = names.partition("=")
        found.append(one(name, key or name, its_type or type_))
    return tuple(found)


def _numbered(form: str, count: int, start: int = 0) -> str:
    return " ".join(form.format(n) for n in range(start, start + count))


def _fixed(
    name: str, bits: int, type_: str, value: bytes | None, group: str = ""
) -> TargetRegister:
    """One that is the same for every program, as no call here can change it; None: unknown."""
    return TargetRegister(name, bits, type_, lambda _: value, group)


def _types(*rows: str) -> str:
    """XML of types that registers have: `vector ID TYPE COUNT`, `union ID FIELD:TYPE...` and
    `flags ID FLAG:BIT...`, of four bytes."""
    lines: list[str] = []
    for row in rows:
        kind, name, *fields = row.split()
        if kind == "vector":
            lines.append(f'<vector id="{name}" type="{fields[0]}" count="{fields[1]}"/>')
            continue
        lines.append(f'<{kind} id="{name}"' + (' size="4">' if kind == "flags" else ">"))
        for field in fields:
            what, _, of = field.partition(":")
            attributes = f'start="{of}" end="{of}"' if kind == "flags" else f'type="{of}"'
            lines.append(f'  <field name="{what}" {attributes}/>')
        lines.append(f"</{kind}>")
    return "\n".join(f"    {line}" for line in lines)


def _number(saved: Saved, name: str) -> int:
    return int.from_bytes(saved[name], "little")


# -- x86 ------------------------------------------------------------------------------------------

_EFLAGS = _types("flags i386_eflags CF:0 :1 PF:2 AF:4 ZF:6 SF:7 TF:8 IF:9 DF:10 OF:11")
_VECTORS = _types(
    "vector v4f ieee_single 4", "vector v2d ieee_double 2", "vector v16i8 int8 16",
    "vector v8i16 int16 8", "vector v4i32 int32 4", "vector v2i64 int64 2",
    "union vec128 v4_float:v4f v2_double:v2d v16_int8:v16i8 v8_int16:v8i16 v4_int32:v4i32 "
    "v2_int64:v2i64 uint128:uint128",
    "flags i386_mxcsr IE:0 DE:1 ZE:2 OE:3 UE:4 PE:5 DAZ:6 IM:7 DM:8 ZM:9 OM:10 UM:11 PM:12 FZ:15",
)  # fmt: skip


_SELECTORS = {
    32: {"cs": 0x23},
    64: {"cs": 0x33, "ss": 0x2B, "ds": 0, "es": 0, "fs": 0, "gs": 0},
}
"""By word, what every program has (arch/x86/include/asm/segment.h, kernel/process_64.c)."""


def _selector(name: str, word: int) -> TargetRegister:
    value = _SELECTORS[word].get(name)
    if value is None:
        # Not to be set: a selector that the descriptor table refuses would be dropped in silence.
        return TargetRegister(name, 32, "int32", lambda saved: saved[name])
    return _fixed(name, 32, "int32", bytes((value,)))


def _st(index: int) -> TargetRegister:
    def key(saved: Saved) -> str:
        # The engine numbers them as the hardware does, gdb from the top of the stack.
        top = _number(saved, "fpsw") >> 11 & 7
        return f"fp{(top + index) & 7}"

    return TargetRegister(f"st{index}", 80, "i387_ext", lambda saved: saved[key(saved)],
                    store=lambda saved, raw: (key(saved), raw))  # fmt: skip


def _x86(
    architecture: str, general: tuple[TargetRegister, ...], word: int, xmm: int
) -> Description:
    core = (
        *general,
        *_plain("eflags", 32, "i386_eflags"),
        *(_selector(name, word) for name in ("cs", "ss", "ds", "es", "fs", "gs")),
        *(_st(index) for index in range(8)),
        *_plain("fctrl=fpcw fstat=fpsw ftag=fptag", 32, "int", "float"),
        *(
            _fixed(name, 32, "int", None, "float")
            for name in ("fiseg", "fioff", "foseg", "fooff", "fop")
        ),
    )
    sse = (
        *_plain(_numbered("xmm{}", xmm), 128, "vec128"),
        *_plain("mxcsr", 32, "i386_mxcsr", "vector"),
    )
    # No system call is under way at any place.
    orig = _fixed("orig_" + general[0].name, word, "int", b"\xff" * 8, "system")
    features = [
        ("org.gnu.gdb.i386.core", _EFLAGS, core),
        ("org.gnu.gdb.i386.sse", _VECTORS, sse),
        ("org.gnu.gdb.i386.linux", "", (orig,)),
    ]
    if word == 64:
        bases = _plain("fs_base gs_base", 64, "int")
        features.append(("org.gnu.gdb.i386.segments", "", bases))
    letter = "r" if word == 64 else "e"
    return Description(architecture, tuple(features), letter + "ip", letter + "sp")


_I386 = _plain(
    "eax ecx edx ebx esp:data_ptr ebp:data_ptr esi edi eip:code_ptr", 32, "int32"
)  # fmt: skip
_X86_64 = _plain(
    f"rax rbx rcx rdx rsi rdi rbp:data_ptr rsp:data_ptr {_numbered('r{}', 8, 8)} rip:code_ptr",
    64, "int64",
)  # fmt: skip

# -- AArch64 --------------------------------------------------------------------------------------

_CPSR = _types("flags cpsr_flags V:28 C:29 Z:30 N:31")
_AARCH64_VECTORS = _types(
    "vector v2d ieee_double 2", "vector v2u uint64 2", "vector v4f ieee_single 4",
    "vector v4u uint32 4", "vector v8u uint16 8", "vector v16u uint8 16", "vector v1u uint128 1",
    "union vnd f:v2d u:v2u", "union vns f:v4f u:v4u",
    "union aarch64v d:vnd s:vns h:v8u b:v16u q:v1u",
)  # fmt: skip
_AARCH64_CORE = (
    *_plain(f"{_numbered('x{}', 31)} sp:data_ptr pc:code_ptr", 64, "int"),
    *_plain("cpsr=nzcv", 32, "cpsr_flags"),
)
_AARCH64_FPU = (
    *_plain(_numbered("v{}", 32), 128, "aarch64v"),
    *_plain("fpsr fpcr", 32, "int"),
)
_AARCH64_FEATURES = (
    ("org.gnu.gdb.aarch64.core", _CPSR, _AARCH64_CORE),
    ("org.gnu.gdb.aarch64.fpu", _AARCH64_VECTORS, _AARCH64_FPU),
)

# -- RISC-V ---------------------------------------------------------------------------------------

_RISCV_X = (
    "ra:code_ptr sp:data_ptr gp:data_ptr tp:data_ptr t0 t1 t2 fp=s0:data_ptr s1 a0 a1 a2 a3 a4 a5 "
    "a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6 pc:code_ptr"
)
_RISCV_F = (
    "ft0=f0 ft1=f1 ft2=f2 ft3=f3 ft4=f4 ft5=f5 ft6=f6 ft7=f7 fs0=f8 fs1=f9 fa0=f10 fa1=f11 fa2=f12 "
    "fa3=f13 fa4=f14 fa5=f15 fa6=f16 fa7=f17 fs2=f18 fs3=f19 fs4=f20 fs5=f21 fs6=f22 fs7=f23 "
    "fs8=f24 fs9=f25 fs10=f26 fs11=f27 ft8=f28 ft9=f29 ft10=f30 ft11=f31"
)


def _of_fcsr(name: str, shift: int, mask: int) -> TargetRegister:
    def store(saved: Saved, raw: bytes) -> tuple[str, bytes]:
        kept = _number(saved, "fcsr") & ~(mask << shift)
        value = kept | (int.from_bytes(raw, "little") & mask) << shift
        return "fcsr", value.to_bytes(4, "little")

    return TargetRegister(
        name, 32, "int", lambda saved: bytes((_number(saved, "fcsr") >> shift & mask,)), "float",
        store,
    )  # fmt: skip


def _riscv(word: int) -> Description:
    core = (_fixed("zero", word, "int", b""), *_plain(_RISCV_X, word, "int"))
    fpu = (
        *_plain(_RISCV_F, 64, "ieee_double"),
        _of_fcsr("fflags", 0, 0x1F),
        _of_fcsr("frm", 5, 7),
        _of_fcsr("fcsr", 0, 0xFF),
    )
    return Description(
        f"riscv:rv{word}",
        (("org.gnu.gdb.riscv.cpu", "", core), ("org.gnu.gdb.riscv.fpu", "", fpu)),
        "pc",
        "sp",
    )


DESCRIPTIONS: dict[str, Description] = {
    "i386": _x86("i386", _I386, 32, 8),
    "x86_64": _x86("i386:x86-64", _X86_64, 64, 16),
    "aarch64": Description("aarch64", _AARCH64_FEATURES, "pc", "sp"),
    "riscv64": _riscv(64),
    "riscv32": _riscv(32),
}
"""By Abi.name."""
