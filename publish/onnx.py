"""A trained network as ONNX, for programs without torch: `python -m publish.onnx CHECKPOINT FILE.onnx`

Its input is `digits`, (N, 1, 28, 28) float32 in [0, 1] as `digits.ink` makes them; its output `probabilities`, (N, 10).
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

from resnet import checkpoint
from resnet.networks import IMAGE_SIZE


def export(trained: checkpoint.Checkpoint, path: Path) -> None:
    """Raises `ImportError` where the packages `onnx` and `onnxscript` are missing, which torch needs for this."""
    model = nn.Sequential(trained.build(), nn.Softmax(dim=1)).eval()
    torch.onnx.export(
        model,
        (torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE),),
        path,
        input_names=["digits"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    try:
        export(checkpoint.load(args.checkpoint), args.output)
    except (ValueError, OSError) as error:
        sys.exit(f"publish.onnx: {error}")
    except ImportError:
        sys.exit("publish.onnx: torch needs two more packages for this. Install them: pip install onnx onnxscript")


if __name__ == "__main__":
    main()
