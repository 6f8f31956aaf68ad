"""What is told about results: the terminal's tables, results.json, InstructLab's files, the progress."""

__all__: list[str] = []
