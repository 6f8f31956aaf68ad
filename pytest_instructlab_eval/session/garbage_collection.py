"""Python's garbage collector kept from walking, again and again, through what stays until the end of the run.

The client's library alone is hundreds of thousands of objects: on two cores, a run of two workers ends
half a second earlier.
"""

from __future__ import annotations

import atexit
import gc

import pytest


def pause_collection(config: pytest.Config) -> None:
    """Collect nothing until `exempt_existing_objects` is called; when the run is over all is as it was.

    To be called before other plugins are configured: what pytest collects at its end comes before that.
    """
    enabled = gc.isenabled()

    def restore() -> None:
        gc.unfreeze()
        (gc.enable if enabled else gc.disable)()

    gc.disable()
    config.add_cleanup(restore)
    atexit.register(gc.freeze)  # the interpreter collects at its end too


def exempt_existing_objects() -> None:
    """Collect, from now on, only what is made from now on."""
    gc.freeze()
    gc.enable()
