"""The built-in benchmarks: their questions, how they are asked and scored."""
