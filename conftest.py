"""The suite's own configuration; what tests share is in tests/."""

collect_ignore = ["examples", "benchmarks"]  # run by tests/plugin/test_examples.py and by `--eval-model`
