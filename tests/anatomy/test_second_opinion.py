"""Other readers of the headers: pyelftools in this process, LIEF in one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from bootstrap.anatomy import dissect
from bootstrap.anatomy.text import render, verdict
from tests.anatomy.test_forms import elf32

SEED = Path(__file__).resolve().parents[2] / "seeds" / "x86" / "hex0-seed"


def run(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lief_on_every_seed_at_hand_and_on_broken_ones(checkout: Path) -> None:
    pytest.importorskip("importlib.metadata").version("lief")
    said = json.loads(run(checkout, "-m", "tests.anatomy.with_lief", "60"))
    assert not said["unicorn"]
    for facts in said["seeds"].values():
        # LIEF reads every seed that has headers as we do.
        assert facts["lief"] == ("agrees" if facts["format"] in ("ELF", "PE") else "nothing")
    assert said["changed"]["agrees"] > 0
    # Of p_flags LIEF gives the three low bits only; a reader sees it.
    assert said["flags"] == [["segment 0 p_flags", "0xf05", "0x5"]]


def test_seeds_show_never_loads_the_engine(checkout: Path) -> None:
    code = (
        "import sys\n"
        "from bootstrap.cli.main import main\n"
        f"assert main(['seeds', 'show', {str(SEED)!r}]) == 0\n"
        "assert 'lief' in sys.modules\n"
        "assert 'unicorn' not in sys.modules and 'bootstrap.instruments' not in sys.modules\n"
    )
    assert "LIEF" in run(checkout, "-c", code)


def test_seeds_check_never_loads_lief(checkout: Path) -> None:
    source = SEED.with_name("hex0.hex0")
    code = (
        "import sys\n"
        "from bootstrap.cli.main import main\n"
        f"assert main(['seeds', 'check', {str(SEED)!r}, '--hex0', {str(source)!r}]) == 0\n"
        "assert 'unicorn' in sys.modules\n"
        "assert 'lief' not in sys.modules and 'bootstrap.anatomy' not in sys.modules\n"
    )
    assert "all three agree" in run(checkout, "-c", code)


def test_lief_is_not_asked_where_unicorn_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", types.ModuleType("unicorn"))
    anatomy = dissect(SEED.read_bytes())
    lief = anatomy.opinions[-1]
    assert lief.verdict == "not asked"
    assert "licences do not go together" in verdict(lief)
    assert "lief" not in sys.modules


def test_a_reader_that_refuses_and_one_that_reads_otherwise() -> None:
    data = bytearray(elf32(3, b"\xc3"))
    data[0x2A] = 31  # e_phentsize: pyelftools goes by it, and so do we
    text = "\n".join(render(dissect(bytes(data), ask_lief=False)))
    assert "e_phentsize is 31, not 32" in text
    said = dissect(elf32(3, b"\xc3")[:60], ask_lief=False).opinions[0]
    assert said.verdict == "refuses"
    assert said.detail
