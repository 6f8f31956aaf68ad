"""Write a GGUF model as a folder that vLLM serves: `python dequantise.py LIBRARIES GGUF OUT_DIR`.

LIBRARIES is a folder with `gguf` and `accelerate`, which the interpreter that has vLLM lacks. The weights
become float32. Two things that transformers 5.19 takes from a GGUF file are mended: the tokenizer splits
numbers into digits, as SmolLM2's does, and the configuration no longer says that the weights are a GGUF file.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

NUMBER = "In 1984"


def main(libraries: str, weights: str, out: str) -> None:
    sys.path.append(libraries)  # before the imports: transformers looks for the packages when it is imported
    # By name, since the environment that checks the types of this file doesn't have all of them.
    tokenizers: Any = importlib.import_module("tokenizers")
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")

    torch.set_num_threads(1)
    source = {"pretrained_model_name_or_path": str(Path(weights).parent), "gguf_file": Path(weights).name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
    split = tokenizers.pre_tokenizers
    tokenizer.backend_tokenizer.pre_tokenizer = split.Sequence(
        [split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)]
    )
    dequantised = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = dequantised.config.to_dict()
    del config["quantization_config"]
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig.from_dict(config))
    model.load_state_dict(dequantised.state_dict())
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    check(transformers.AutoTokenizer.from_pretrained(out))


def check(tokenizer: Any) -> None:
    """That a number is a token a digit, and that a text comes back as it was."""
    ids = tokenizer.encode(NUMBER, add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids) == ["In", "Ġ", *"1984"], ids
    assert tokenizer.decode(ids) == NUMBER
    assert "<|im_start|>user" in tokenizer.apply_chat_template(
        [{"role": "user", "content": NUMBER}], tokenize=False, add_generation_prompt=True
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
