"""The built-in benchmarks, as test modules that can be run, read and copied."""
