"""What is read from files and strangers: the benchmarks' data, task files, taxonomies."""
