"""What upstream checks of each step, and by which line of which file.

Found by reading the scripts that the step would run: a ``sha256sum -c`` in a ``passN.kaem``, and in
the era of bash what ``steps/helpers.sh`` does for every package.  A claim here is that the line is
there, not that it was run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import decoded
from bootstrap.handoff.manifest import ManifestStep

CheckState = Literal["checked", "partly", "unchecked", "none"]
"""``none``: there is nothing to check."""

PACKAGES = "steps/SHA256SUMS.pkgs"
HELPERS = "steps/helpers.sh"
MAX_TEXT = 4 << 20

_KAEM_CHECK = re.compile(r"\s*sha256sum -c (\S+)\s*")
_SUM = re.compile(r"([0-9a-f]{64})  (\S+)")


@dataclass(frozen=True)
class UpstreamCheck:
    """``by`` is FILE:LINE of what checks, or of what stands in its place; ``text`` a sentence."""

    state: CheckState
    by: str
    text: str


@dataclass(frozen=True)
class StepChecks:
    """What is checked of a step: the files that go in, and what it made.

    ``value`` is FILE:LINE of the known-good value (or FILE, of a list); ``sha256`` that of the
    package, where there is one; ``package`` its file name, in the era of bash.
    """

    sources: UpstreamCheck
    products: UpstreamCheck
    value: str = ""
    sha256: str = ""
    package: str = ""


def read_text(checkout: Path, path: str) -> str:
    """A text of the checkout, UTF-8.  Raises BadInput with its path."""
    return decoded(read_file(checkout / path, MAX_TEXT), str(checkout / path))


def read_sums(text: str, file: str) -> dict[str, tuple[str, int]]:
    """A ``sha256sum`` list: name -> (sha256, line).  Raises BadInput with file and line."""
    rows: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _SUM.fullmatch(line.rstrip())
        if match is None:
            raise BadInput(f"{file}:{number}: no line of a sha256sum list: {line[:80]!r}")
        if match[2] in rows:
            raise BadInput(f"{file}:{number}: {match[2]} is there twice")
        rows[match[2]] = (match[1], number)
    return rows


class CheckReader:
    """Reads the checks of steps, in order: the number of a package depends on those before it."""

    def __init__(self, checkout: Path, variables: Mapping[str, str], with_sources: set[str]):
        self.checkout, self.variables, self.with_sources = checkout, variables, with_sources
        self.off = variables.get("UPDATE_CHECKSUMS") == "True"
        self.packages: list[str] = []
        self.notes: list[str] = []
        self.sums: dict[str, tuple[str, int]] = {}
        if (checkout / PACKAGES).exists():
            self.sums = read_sums(read_text(checkout, PACKAGES), str(checkout / PACKAGES))
        helpers = read_text(checkout, HELPERS) if (checkout / HELPERS).exists() else ""
        self.checks_sources = _line_with(helpers, 'sha256sum -c "${fname}.sum"')
        self.checks_package = _line_with(helpers, 'sha256sum -c "${checksum_file}"')

    def unused(self) -> tuple[str, ...]:
        """Packages that have a value although no step so far makes them."""
        return tuple(sorted(set(self.sums) - set(self.packages)))

    def read(self, step: ManifestStep) -> StepChecks:
        """The checks of the next step.  Raises BadInput when what it would run is not there."""
        directive = step.directive
        if directive.kind in ("improve", "jump"):
            script = f"steps/{directive.kind}/{directive.argument}.sh"
            self._require(script, step)
            text = "no value is known of what this script does to the system"
            return StepChecks(_NOTHING, UpstreamCheck("unchecked", script, text))
        if directive.kind == "uninstall":
            text = "no value is known of what is left afterwards"
            return StepChecks(_NOTHING, UpstreamCheck("unchecked", HELPERS, text))
        script = f"steps/{directive.argument}/pass{step.pass_number}"
        if step.era == "kaem":
            return self._kaem(step, f"{script}.kaem")
        return self._bash(step, f"{script}.sh")

    def _require(self, path: str, step: ManifestStep) -> None:
        if not (self.checkout / path).is_file():
            where = f"{self.checkout / 'steps/manifest'}:{step.directive.line}"
            raise BadInput(f"{where}: {step.title} needs {path}, and there is no such file")

    def _kaem(self, step: ManifestStep, script: str) -> StepChecks:
        self._require(script, step)
        package = step.directive.argument
        sources, products, value = None, None, ""
        for number, line in enumerate(read_text(self.checkout, script).splitlines(), 1):
            match = _KAEM_CHECK.fullmatch(line)
            if match is None:
                continue
            where = f"{script}:{number}"
            name = match[1].replace("${pkg}", package)
            name = name.replace("${ARCH}", self.variables.get("ARCH", ""))
            if name == "sources.SHA256SUM":
                sources = UpstreamCheck("checked", where, "every source file against its sha256")
            else:
                value = f"steps/{package}/{name}"
                products = self._listed(value, where)
        if package not in self.with_sources:
            sources = _NOTHING
        elif sources is None:
            sources = UpstreamCheck("unchecked", script, "has no sha256sum -c of its sources")
        if products is None:
            products = UpstreamCheck("unchecked", script, "has no sha256sum -c of what it installs")
        return StepChecks(sources, products, value)

    def _listed(self, value: str, where: str) -> UpstreamCheck:
        if self.off:
            return UpstreamCheck(
                "unchecked", where, "UPDATE_CHECKSUMS is True: values are written anew"
            )
        if not (self.checkout / value).is_file():
            return UpstreamCheck(
                "unchecked", where, f"the build will stop here: there is no {value}"
            )
        files = read_sums(read_text(self.checkout, value), str(self.checkout / value))
        text = f"{len(files)} installed file{'s' * (len(files) != 1)} that {value} lists, no other"
        return UpstreamCheck("partly", where, text)

    def _bash(self, step: ManifestStep, script: str) -> StepChecks:
        package = step.directive.argument
        # As get_revision in steps/helpers.sh: ls -1 PACKAGE* | wc -l
        revision = sum(name.startswith(package) for name in self.packages)
        name = f"{package}_{revision}.tar.bz2"
        self.packages.append(name)
        sources = self._bash_sources(package, script)
        if not (self.checkout / script).is_file():
            self.notes.append(
                f"there is no {script}: {HELPERS} builds {step.title} by its defaults"
            )
        value = sha256 = ""
        if self.off:
            text = "UPDATE_CHECKSUMS is True: the values are not looked at"
            made = UpstreamCheck("unchecked", HELPERS, text)
        elif not self.checks_package:
            text = "has no sha256sum -c of packages that is understood"
            made = UpstreamCheck("unchecked", HELPERS, text)
        elif name not in self.sums:
            text = f"the build will stop here: {PACKAGES} has no {name}"
            made = UpstreamCheck("unchecked", PACKAGES, text)
        else:
            by = f"{HELPERS}:{self.checks_package}"
            made = UpstreamCheck("checked", by, f"the whole package {name}")
            sha256, line = self.sums[name]
            value = f"{PACKAGES}:{line}"
        return StepChecks(sources, made, value, sha256, name)

    def _bash_sources(self, package: str, script: str) -> UpstreamCheck:
        own = 0
        if (self.checkout / script).is_file():
            own = _line_with(read_text(self.checkout, script), "src_get() {")
        if package not in self.with_sources:
            return _NOTHING
        if own:
            return UpstreamCheck("partly", f"{script}:{own}", "by a src_get of its own: to be read")
        if not self.checks_sources:
            return UpstreamCheck(
                "unchecked", HELPERS, "has no sha256sum -c of sources that is understood"
            )
        by = f"{HELPERS}:{self.checks_sources}"
        return UpstreamCheck("checked", by, "every source file against its sha256")


_NOTHING = UpstreamCheck("none", "", "needs no source file")


def _line_with(text: str, part: str) -> int:
    """The first line (from 1) that has ``part`` and is no comment; 0 if there is none."""
    for number, line in enumerate(text.splitlines(), 1):
        if part in line and not line.lstrip().startswith("#"):
            return number
    return 0
