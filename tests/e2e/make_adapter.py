"""Copy a model with seeded noise in its weights: `python add_noise.py FOLDER OUT_DIR NOISE`.

NOISE is in standard deviations of each matrix. The interpreter that has vLLM runs this.
"""

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

WEIGHTS = "model.safetensors"


def main(folder: str, out: str, noise: str) -> None:
    # By name, since the environment that checks the types of this file doesn't have all of them.
    torch: Any = importlib.import_module("torch")
    safetensors: Any = importlib.import_module("safetensors.torch")

    shutil.copytree(folder, out, ignore=shutil.ignore_patterns(WEIGHTS))
    tensors = safetensors.load_file(Path(folder, WEIGHTS))
    drawn = torch.Generator().manual_seed(1)
    for name, weights in sorted(tensors.items()):
        if ".layers." in name and weights.dim() == 2:  # not the embeddings, of which one word may be all
            weights.add_(float(noise) * weights.std() * torch.randn(weights.shape, generator=drawn))
    safetensors.save_file(tensors, Path(out, WEIGHTS), metadata={"format": "pt"})


if __name__ == "__main__":
    main(*sys.argv[1:])
