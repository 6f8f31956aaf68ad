"""A taxonomy's questions: qna.yaml files of a Git repository, written by strangers, read as data."""

from pytest_instructlab_eval.data.taxonomy.qna import KNOWLEDGE, QnaFile, QnaPair, parse_qna
from pytest_instructlab_eval.data.taxonomy.taxonomy_reader import Survey, Taxonomy

__all__ = ["KNOWLEDGE", "QnaFile", "QnaPair", "Survey", "Taxonomy", "parse_qna"]
