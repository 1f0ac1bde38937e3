"""The phases of stage0-posix by the product that ends them, and how much work each product is.

The names are those of upstream's kaem scripts; the shares were measured on the x86 bootstrap of
1.9.1 and hold well enough elsewhere: they only move a progress bar.
"""

from bootstrap.cli.progress import Plan
from bootstrap.known import StepFile

_PHASES: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("phase 0: hex0", ("hex0",), 0.1),
    ("phase 0b: kaem-minimal", ("kaem-0",), 0.1),
    ("phase 1: hex1", ("hex1",), 0.1),
    ("phase 2: hex2", ("hex2-0",), 0.1),
    ("phase 2b: catm", ("artifact/catm",), 0.1),
    ("phase 3: M0", ("M0",), 0.2),
    ("phase 4: cc", ("cc_",), 0.3),
    ("phase 5: M2-Planet", ("M2-0", "artifact/M2"), 2.8),
    ("phase 6: blood-elf", ("blood-elf-0",), 2.0),
    ("phase 7: M1", ("M1-macro-0", "M1-0"), 3.0),
    ("phase 8: hex2", ("hex2_linker-0", "hex2_linker-1", "hex2-1"), 6.5),
    ("phase 9: M1", ("M1-macro-1", "bin/M1"), 9.5),
    ("phase 10: hex2", ("hex2_linker-2", "bin/hex2"), 6.5),
    ("phase 11: kaem", ("kaem.", "kaem-footer", "bin/kaem"), 7.0),
    ("phase 12: M2-Mesoplanet", ("M2-Mesoplanet",), 12.0),
    ("phase 13: blood-elf", ("blood-elf-1", "bin/blood-elf"), 5.5),
    ("phase 14: get_machine", ("get_machine",), 3.6),
    ("phase 15: M2-Planet", ("M2-1", "M2-Planet"), 27.0),
    ("phase 16: sha256sum", ("sha256sum",), 6.5),
    ("phase 17: match", ("match",), 3.0),
    ("phase 18: mkdir", ("mkdir",), 4.0),
    ("phase 19: untar", ("untar",), 5.5),
    ("phase 20: ungz", ("ungz",), 6.0),
    ("phase 21: unbz2", ("unbz2",), 6.5),
    ("phase 22: unxz", ("unxz",), 9.0),
    ("phase 23: catm, cp, chmod, rm, replace, wrap", (
        "bin/catm", "bin/cp", "bin/chmod", "bin/rm", "bin/replace", "bin/wrap"), 24.0),
)  # fmt: skip


def plan(step: StepFile) -> Plan:
    """What a run of `step` makes, in which phases, with which shares of the work."""
    products = tuple(value.path for value in step.expected())
    phases: dict[str, str] = {}
    for product in products:
        name = "/".join(product.split("/")[1:])
        best = ""
        for phase, patterns, _ in _PHASES:
            for pattern in patterns:
                whole = pattern if "/" in pattern else f"artifact/{pattern}"
                for candidate in (whole, f"bin/{pattern}"):
                    if name.startswith(candidate) and len(candidate) > len(best):
                        best, phases[product] = candidate, phase
    members: dict[str, int] = {}
    for phase in phases.values():
        members[phase] = members.get(phase, 0) + 1
    shares = {phase: share for phase, _, share in _PHASES}
    weights = {product: shares[phase] / members[phase] for product, phase in phases.items()}
    return Plan(products, weights, phases)
