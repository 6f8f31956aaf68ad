"""What a run must hold to: the gates' language and figures here; how they are evaluated in the modules.

`check` and what it needs build on `stats`, so they are imported by their own names.
"""

from pytest_instructlab_eval.gates.figures import FIGURES, MEAN, Figure
from pytest_instructlab_eval.gates.language import OPERATORS, Gate, Selector, parse_gate

__all__ = ["FIGURES", "MEAN", "OPERATORS", "Figure", "Gate", "Selector", "parse_gate"]
