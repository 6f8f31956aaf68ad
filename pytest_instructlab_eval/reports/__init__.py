"""What is told about a run: `RunReport`, computed once, and its renderers, one a file."""
