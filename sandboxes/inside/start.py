"""Starts the runner from an interpreter that has loaded nothing else.

`python -c` imports this module first, so that its interpreter has the modules, the module
`__main__` and the search path that each command should find. Standard library only.
"""

import sys

_MODULES, _PATHS = frozenset(sys.modules), frozenset(sys.path_importer_cache)

__all__ = ["main"]


def main() -> None:
    """Loads the runner and what commands are likely to import, then serves leases."""
    from sandboxes.inside import imports

    recorder = imports.Recorder()
    with recorder:
        from sandboxes.inside.runner import main as serve
        from sandboxes.inside.settings import hidden_modules

        imports.preload(hidden_modules())
    imports.put_aside(recorder, _MODULES, _PATHS)
    serve(sys.argv[1:])
