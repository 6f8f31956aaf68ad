"""Python's garbage collector kept from walking, again and again, through what stays until the end of the run.

The client's library alone is hundreds of thousands of objects: on two cores, a run of two workers ends
half a second earlier.
"""

from __future__ import annotations

import gc

import pytest

__all__ = ["leave_what_is_there", "rest"]


def rest(config: pytest.Config) -> None:
    """Collect nothing until `leave_what_is_there` is called, or the run ends."""
    if gc.isenabled():
        gc.disable()
        config.add_cleanup(gc.enable)


def leave_what_is_there() -> None:
    """From now on, and at the end of the process, collect only what is made from now on."""
    gc.freeze()
    gc.enable()
