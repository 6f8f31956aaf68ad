"""Gates: the conditions that a run must meet.

Their language and figures are exported here. `evaluation` is imported by its own name: it needs `stats`,
which a run that does not evaluate must not import.
"""

from pytest_instructlab_eval.gates.figures import FIGURES, MEAN, Figure
from pytest_instructlab_eval.gates.language import OPERATORS, Gate, Selector, parse_gate

__all__ = ["FIGURES", "MEAN", "OPERATORS", "Figure", "Gate", "Selector", "parse_gate"]
