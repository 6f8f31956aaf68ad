"""Readers of files, many of them by strangers: the benchmarks' data, task files, taxonomies."""
