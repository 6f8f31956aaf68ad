"""Reports of a run: `RunReport`, computed once, and one module for each renderer of it."""
