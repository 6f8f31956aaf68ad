"""The hooks and parts of a pytest run that evaluates; no other folder depends on pytest."""
