"""The docs are held to the product: what the reference must have is read from the code."""
