"""Our own tools, built and verified before anything is compared with them."""

from __future__ import annotations

from bootstrap.core.errors import GuestFailed
from bootstrap.ddc.plan import ENTRY
from bootstrap.instruments import Engine
from bootstrap.known import EMBEDDED, find
from bootstrap.linux.limits import Limits
from bootstrap.runs.rebuild import rebuild
from bootstrap.sources import Resolved, check_materials, embedded_source


def our_tools(engine: Engine, limits: Limits) -> dict[str, bytes]:
    """The products of the embedded path by name, all verified.

    Raises GuestFailed when they are not what they should be: a comparison with them would then say
    nothing.
    """
    step = find(EMBEDDED, None, "x86")
    tree = embedded_source(step)
    resolved = Resolved(tree, step, check_materials(tree, step))
    rebuilt = rebuild(resolved, ENTRY, engine, limits)
    if rebuilt.report.result != "verified":
        raise GuestFailed(
            "our own tools were not verified, so nothing can be compared with them: "
            f"{rebuilt.report.claim}"
        )
    return {path: content for path, (content, _mode) in rebuilt.products.items()}
