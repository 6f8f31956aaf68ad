"""The packages of the wheel; all else about the project is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["pytest_instructlab_eval*"]), "pytest_instructlab_eval.benchmarks"],
    package_dir={"pytest_instructlab_eval.benchmarks": "benchmarks"},
)
