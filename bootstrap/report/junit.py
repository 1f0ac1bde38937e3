"""The report as JUnit XML: one suite, one testcase per artifact, and one for the run itself.

Several reports are several suites in one document.

Follows the schema that CI systems agree on (testsuites/testsuite/testcase with failure, error and
skipped; github.com/jenkinsci/xunit-plugin, junit-10.xsd).
"""

import re
from xml.etree import ElementTree as ET

from bootstrap.report.model import LESSER, Artifact, Report, ReportSet

# What XML 1.0 allows (section 2.2, production 2); everything else cannot even be escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_COUNTS = ("tests", "failures", "errors")


def to_junit(said: Report | ReportSet) -> str:
    """An XML document, a suite for each report. An artifact that nobody can judge is skipped."""
    suites = ET.Element("testsuites", {"name": "bootstrap verify"})
    reports = (said,) if isinstance(said, Report) else said.reports
    each = [_suite(suites, report) for report in reports]
    for key in _COUNTS:
        suites.set(key, str(sum(int(suite.attrib[key]) for suite in each)))
    suites.set("time", f"{said.totals.wall_seconds:.3f}")
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _suite(suites: ET.Element, report: Report) -> ET.Element:
    statuses = [a.status for a in report.artifacts]
    failures = sum(s in ("mismatch", "missing") for s in statuses)
    problems = _run_problems(report, failures)
    lesser = report.result in LESSER
    seconds = f"{report.totals.wall_seconds:.3f}"
    suite = ET.SubElement(
        suites,
        "testsuite",
        {
            "name": _xml(f"{report.title} {report.arch}"),
            "tests": str(len(statuses) + 1),
            "failures": str(failures + lesser),
            "errors": str(1 if problems and not lesser else 0),
            "skipped": str(statuses.count("unknown")),
            "time": seconds,
        },
    )
    _properties(suite, report)
    group = _xml(f"{report.name}.{report.arch}.{report.entry}")
    run = ET.SubElement(suite, "testcase", {"name": "run", "classname": group, "time": seconds})
    if problems:
        details = report.failure.details if report.failure else ()
        tag = "failure" if lesser else "error"
        _outcome(run, tag, report.result, problems[0], "\n".join([*problems, *details]))
    for artifact in report.artifacts:
        case = ET.SubElement(
            suite, "testcase", {"name": _xml(artifact.path), "classname": group, "time": "0"}
        )
        _judged(case, artifact, report)
    return suite


def _properties(suite: ET.Element, report: Report) -> None:
    """Whose verdict it is; nothing where nothing was decided."""
    if report.decided_by is None:
        return
    values: dict[str, str] = {"decided_by": report.decided_by}
    if report.recheck is not None:
        values["recheck"] = "differs" if report.recheck.differences else "agrees"
    properties = ET.SubElement(suite, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", {"name": name, "value": value})


def _run_problems(report: Report, failures: int) -> list[str]:
    """What is wrong with the run beside its artifacts; never nothing in a document that fails."""
    beside = [r for r in report.reasons if r not in report.artifact_reasons]
    return beside if beside or failures else list(report.reasons)


def _judged(case: ET.Element, artifact: Artifact, report: Report) -> None:
    expected = f"expected {artifact.expected} ({artifact.expected_from})"
    note = f"\n{artifact.note}" if artifact.note else ""
    divergence = report.first_divergence
    if artifact.status == "mismatch":
        body = f"{expected}\ngot      {artifact.sha256}{note}"
        if divergence is not None and divergence.path == artifact.path:
            body += f"\nfirst divergence in build order\n{divergence.verdict}"
        elif divergence is not None:
            body += f"\nthe first divergence was {divergence.path}"
        _outcome(case, "failure", "mismatch", f"{artifact.path} differs", body)
    elif artifact.status == "missing":
        _outcome(case, "failure", "missing", f"{artifact.path} is missing", expected + note)
    elif artifact.status == "unknown":
        ET.SubElement(case, "skipped", {"message": "no known-good value to compare with"})


def _outcome(case: ET.Element, tag: str, kind: str, message: str, body: str) -> None:
    element = ET.SubElement(case, tag, {"message": _xml(message), "type": kind})
    element.text = _xml(body)


def _xml(text: str) -> str:
    return _NOT_XML.sub(lambda m: f"\\x{ord(m[0]):02x}", text)
