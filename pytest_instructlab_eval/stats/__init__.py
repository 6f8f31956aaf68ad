"""Statistics of scores: intervals, differences, summaries, rankings."""
