"""A pytest run that evaluates: the only folder that knows pytest."""
