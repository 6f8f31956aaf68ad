"""What the scores say: intervals, differences, summaries, rankings."""
