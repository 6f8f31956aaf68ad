"""What the scores say: intervals, differences, summaries, rankings."""

__all__: list[str] = []
