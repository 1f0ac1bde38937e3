"""The first code of every interpreter that we start: `python -I -S isolated.py WHAT`.

`-I` keeps the current folder, PYTHON* of the environment and the user's site folder out of
`sys.path`, `-S` the other site folders with their .pth files (Python docs, "Command line"): the
standard library is all that is found. WHAT, by `bootstrap.host.own_command`, has the folders of
this package and of its dependencies, by name; what else lies in those folders is not found.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _Finder:
    """Finds modules by name, each in its folder only."""

    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder; modules within packages are found without us."""
        folder = self._folders.get(name)
        return None if folder is None else PathFinder.find_spec(name, [folder])


def main() -> object:
    """Call the function that is asked for; what it returns is the exit status."""
    folders, module, function, arguments = json.loads(sys.argv[1])
    sys.meta_path.append(_Finder(folders))
    sys.argv = [module, *arguments, *sys.argv[2:]]
    called: object = getattr(importlib.import_module(module), function)()
    return called


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[arg-type]
