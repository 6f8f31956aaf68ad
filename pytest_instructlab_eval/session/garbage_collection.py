"""The exemption of long-lived objects from Python's garbage collection.

The client's library alone has hundreds of thousands of objects, which live until the end of the run. On
two cores, a run of two workers ends half a second earlier without their repeated collection.
"""

from __future__ import annotations

import atexit
import gc

import pytest


def pause_collection(config: pytest.Config) -> None:
    """Turn the collector off until `exempt_existing_objects`; the end of the run restores it.

    This must be called before other plugins are configured, so that the collector is restored after their
    cleanups, in which pytest collects garbage.
    """
    enabled = gc.isenabled()

    def restore() -> None:
        gc.unfreeze()
        (gc.enable if enabled else gc.disable)()

    gc.disable()
    config.add_cleanup(restore)
    atexit.register(gc.freeze)  # the interpreter collects garbage at its exit too


def exempt_existing_objects() -> None:
    """Turn the collector on, for new objects only."""
    gc.freeze()
    gc.enable()
