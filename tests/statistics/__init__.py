"""Simulations of verdicts, by the product's own functions; `python -m tests.statistics.NAME` prints them."""
