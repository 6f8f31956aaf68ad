"""Typical mistakes of a new user, and the one sentence that each must get."""
