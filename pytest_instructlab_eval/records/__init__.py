"""The data of a run: scores, results, baselines, and the files that hold them."""

__all__: list[str] = []
