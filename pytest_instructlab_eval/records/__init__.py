"""What a run found, as data: scores, results, baselines, and the files that keep them."""
