"""What is told about results: the terminal's tables, results.json, InstructLab's files, the progress."""

from pytest_instructlab_eval.reports.instructlab import safe_name, write_instructlab_files
from pytest_instructlab_eval.reports.progress import Progress, uncaptured
from pytest_instructlab_eval.reports.ranking import rank, ranking_table
from pytest_instructlab_eval.reports.results import SCHEMA_VERSION, read_results, read_run, write_run
from pytest_instructlab_eval.reports.summary import Row, Summary, summarise, table

__all__ = [
    "SCHEMA_VERSION",
    "Progress",
    "Row",
    "Summary",
    "rank",
    "ranking_table",
    "read_results",
    "read_run",
    "safe_name",
    "summarise",
    "table",
    "uncaptured",
    "write_instructlab_files",
    "write_run",
]
