"""What a run must hold to: the gates' language here; evaluation, baselines and statistics in the modules.

`check`, `baseline` and `comparison` build on the reports, which build on `statistics`; so they are
imported by their own names.
"""

from pytest_instructlab_eval.gates.language import FIGURES, OPERATORS, Gate, Selector, parse_gate

__all__ = ["FIGURES", "OPERATORS", "Gate", "Selector", "parse_gate"]
