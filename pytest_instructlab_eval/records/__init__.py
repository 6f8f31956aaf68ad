"""The data of a run: scores, results, baselines, and the files that hold them."""
