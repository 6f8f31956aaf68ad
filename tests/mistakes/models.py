"""Mistakes in naming the model."""

from __future__ import annotations

import json

from tests.plugin.conftest import Project

from .mistake import Mistake

CONFIG = json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})

TOKENIZER = {"granite/tokenizer.json": "{}", "granite/tokenizer_config.json": "{}"}


def an_empty_folder(project: Project) -> None:
    (project.folder / "granite").mkdir()


MISTAKES = [
    Mistake(
        "misspelt",
        "the model's name is misspelt",
        "pytest --eval-model=tinny --eval-base-url=$URL $ON_MMLU",
        r"has no model 'tinny'; it has: tiny",
    ),
    Mistake(
        "a URL for a name",
        "the server's URL is given as the model",
        "pytest --eval-model=$URL $ON_MMLU",
        r"--eval-model: http://.* is a URL.*--eval-base-url",
    ),
    Mistake(
        "given twice",
        "the same model is given twice",
        "pytest $MMLU --eval-model=tiny",
        r"--eval-model must name each model once \(got tiny, tiny\)",
    ),
    Mistake(
        "no value",
        "the model's name is forgotten",
        "pytest --eval-benchmark=mmlu --eval-model",
        r"argument --eval-model: expected one argument",
    ),
    Mistake(
        "an empty value",
        "a shell variable that was to hold the model's name is empty",
        "pytest --eval-model= --eval-base-url=$URL",
        r"--eval-model: expected a text",
    ),
    Mistake(
        "forgotten",
        "a benchmark and no model is named",
        "pytest --eval-benchmark=mmlu",
        r"needs a model to evaluate; name one with --eval-model",
    ),
    Mistake(
        "forgotten beside a server",
        "the server's URL and no model is named",
        "pytest --eval-base-url=$URL",
        r"needs a model to evaluate; name one with --eval-model",
    ),
    Mistake(
        "forgotten for an own benchmark",
        "an own benchmark is run without naming a model",
        "pytest -rs test_own.py",
        r"SKIPPED .*name one with --eval-model",
        status=0,
        files={"test_own.py": "async def test_own(served_model):\n    pass\n"},
    ),
    Mistake(
        "no folder without a server",
        "the path of the model is misspelt",
        "pytest --eval-model=./granit --eval-serve=local $ON_MMLU",
        r"--eval-model: there is no folder \./granit; give ",
    ),
    Mistake(
        "a hub's name offline",
        "a model of the hub is named on a machine without network",
        "pytest --eval-model=org/granite --eval-serve=local $ON_MMLU",
        r"org/granite.*hub",
    ),
    Mistake(
        "a name without its server",
        "the URL of the server is forgotten",
        "pytest --eval-model=granite $ON_MMLU",
        r"(granite|no server has the model).*--eval-base-url",
    ),
    Mistake(
        "a folder without config.json",
        "the folder above the checkpoint is named",
        "pytest --eval-model=./granite --eval-serve=local $ON_MMLU",
        r"--eval-model: the folder \./granite .*config\.json",
        files={"granite/README.md": "a model\n"},
    ),
    Mistake(
        "an empty folder",
        "the model's folder is empty",
        "pytest --eval-model=./granite --eval-serve=local $ON_MMLU",
        r"--eval-model: the folder \./granite .*config\.json",
        given=an_empty_folder,
    ),
    Mistake(
        "a GGUF file",
        "a GGUF file is named as the model",
        "pytest --eval-model=./granite.gguf --eval-serve=local $ON_MMLU",
        r"--eval-model: \S*granite\.gguf .*(GGUF|llama)",
        files={"granite.gguf": "GGUF"},
    ),
    Mistake(
        "weights without a tokenizer",
        "the tokenizer was not copied with the model",
        "pytest --eval-model=./granite --eval-serve=local $ON_MMLU -k anatomy",
        r"granite\b.* tokenizer",
        files={"granite/config.json": CONFIG, "granite/model.safetensors": ""},
    ),
    Mistake(
        "a config that is no JSON",
        "the download of the model broke off",
        "pytest --eval-model=./granite --eval-serve=local $ON_MMLU -k anatomy",
        r"granite\b.*(config\.json|JSON)",
        files={"granite/config.json": '{"model_type": "lla', **TOKENIZER, "granite/model.safetensors": ""},
    ),
    Mistake(
        "pickled weights",
        "the model has pickled weights",
        "pytest --eval-model=./granite --eval-serve=local $ON_MMLU -k anatomy",
        r"granite\b.*safetensors",
        files={"granite/config.json": CONFIG, **TOKENIZER, "granite/pytorch_model.bin": "PK\x03\x04"},
    ),
    Mistake(
        "a folder in place of the served name",
        "the server knows the model by another name than its folder",
        "pytest --eval-model=./granite --eval-base-url=$URL $ON_MMLU",
        r"has no model './granite'; it has: tiny",
        files={"granite/config.json": CONFIG},
    ),
    Mistake(
        "a path with ~",
        "the shell leaves the ~ after = as it is, and the folder is not there",
        "pytest --eval-model=~/granite --eval-serve=local $ON_MMLU",
        r"--eval-model: there is no folder ~/granite; give ",
    ),
    Mistake(
        "a slash at the end",
        "the shell's completion left a slash at the end of the name",
        "pytest --eval-model=tiny/ --eval-base-url=$URL $ON_MMLU",
        r"has no model 'tiny/'; it has: tiny$",
    ),
    Mistake(
        "checkpoints that are none",
        "the folder of checkpoints has none",
        "pytest --eval-checkpoints=./run --eval-benchmark=mmlu",
        r"--eval-checkpoints: \S*run has no checkpoint.*config\.json",
        files={"run/samples_1000/README.md": "still training\n"},
    ),
    Mistake(
        "checkpoints that are missing",
        "the folder of checkpoints is misspelt",
        "pytest --eval-checkpoints=./rum --eval-benchmark=mmlu",
        r"--eval-checkpoints: \S*rum .*(doesn't exist|no such folder|is not a folder)",
    ),
    Mistake(
        "two models by a comma",
        "two models are given in one option, with a comma",
        "pytest --eval-model=tiny,other --eval-base-url=$URL $ON_MMLU",
        r"has no model 'tiny,other'; it has: tiny",
    ),
    Mistake(
        "the base model is the model",
        "the model is compared with itself",
        "pytest $MMLU --eval-base-model=tiny",
        r"--eval-model and --eval-base-model must name each model once",
    ),
    Mistake(
        "a base model that is not served",
        "the base model is not on the server",
        "pytest $MMLU --eval-base-model=base",
        r"has no model 'base'; it has: tiny",
    ),
    Mistake(
        "the base model's server alone",
        "the base model's URL and not its name is given",
        "pytest $MMLU --eval-base-model-url=$URL",
        r"--eval-base-model-url needs --eval-base-model",
    ),
]
