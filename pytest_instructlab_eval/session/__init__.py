"""A pytest run that evaluates: the only folder that knows pytest."""

__all__: list[str] = []
