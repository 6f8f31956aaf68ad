"""The capitals of countries, as a benchmark."""
