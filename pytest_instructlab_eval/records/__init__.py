"""What a run found, as data: scores, results, baselines, and the files that keep them."""

__all__: list[str] = []
