"""`python -I -m bootstrap.core`, from the checkout: nothing needs to be installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.core.made_up import ROOT

CODE = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from bootstrap.core.__main__ import main
sys.exit(main())
"""


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-I", "-W", "error", "-c", CODE, *map(str, args)]


def core(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it; its output is text in which any byte may be."""
    return subprocess.run(
        command(*args), capture_output=True, text=True, errors="surrogateescape", check=False
    )
