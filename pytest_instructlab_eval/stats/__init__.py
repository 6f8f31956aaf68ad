"""Statistics of scores: intervals, differences, summaries, rankings."""

__all__: list[str] = []
