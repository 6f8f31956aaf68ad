"""A model in the same process: transformers on this machine's GPU or CPU.

One daemon thread a model owns the weights. Requests that wait together share forward passes: the
questions of a task the cache of their few-shot part, the choices of a question its context. torch and
transformers are imported when that thread loads the model.
"""

from pytest_instructlab_eval.models.local.local_model import LocalModel

__all__ = ["LocalModel"]
