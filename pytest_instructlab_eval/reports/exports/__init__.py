"""A run in the formats of other tools: a module for each, and `export` to write them."""
