"""Make an adapter (LoRA) of seeded noise for a model: `python make_adapter.py FOLDER OUT_DIR NOISE RANK`.

NOISE is in standard deviations of each matrix. The interpreter that has vLLM runs this.
"""

import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any


def main(folder: str, out: str, noise: str, rank: str) -> None:
    # By name, since the environment that checks the types of this file doesn't have all of them.
    torch: Any = importlib.import_module("torch")
    safetensors: Any = importlib.import_module("safetensors.torch")

    width, drawn = int(rank), torch.Generator().manual_seed(1)
    tensors, modules = {}, set()
    for name, weights in sorted(safetensors.load_file(Path(folder, "model.safetensors")).items()):
        if ".layers." in name and weights.dim() == 2:  # not the embeddings, of which one word may be all
            module = name.removesuffix(".weight")
            modules.add(module.rpartition(".")[2])
            rows, columns = weights.shape
            scale = float(noise) * weights.std() / math.sqrt(width)  # of a sum over the rank
            stem = f"base_model.model.{module}.lora"
            tensors[f"{stem}_A.weight"] = torch.randn(width, columns, generator=drawn)
            tensors[f"{stem}_B.weight"] = scale * torch.randn(rows, width, generator=drawn)
    made = Path(out)
    made.mkdir(parents=True)
    safetensors.save_file(tensors, made / "adapter_model.safetensors")
    configuration = {
        "peft_type": "LORA",
        "r": width,
        "lora_alpha": width,
        "target_modules": sorted(modules),
        "bias": "none",
    }
    (made / "adapter_config.json").write_text(json.dumps(configuration), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
