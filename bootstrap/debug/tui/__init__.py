"""The terminal interface of `bootstrap step`."""

from __future__ import annotations

from collections.abc import Callable

from bootstrap.core.errors import BadInput


def run_app(trace: str, save: Callable[[str, str], None]) -> int:
    """Show a trace until somebody quits; the exit status.

    `save` writes a script (destination, text). Raises BootstrapError where the trace is bad, and
    whatever broke the session.
    """
    from bootstrap.debug.tui.app import StepApp

    def to_file(dest: str, text: str) -> None:
        if dest == "-":
            raise BadInput("save -: the screen is there; name a file")
        save(dest, text)

    app = StepApp(trace, to_file)
    status = app.run()
    if app.failure is not None:
        raise app.failure
    return status or app.return_code or 0


__all__ = ["run_app"]
