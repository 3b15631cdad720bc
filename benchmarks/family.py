"""ResNet-18 to ResNet-152 (He et al. 2015, arXiv:1512.03385, Table 1): size, speed, and accuracy after one epoch.

`python -m benchmarks.family --data FOLDER` trains each for one epoch with `train.py`, saves it to `checkpoints/`,
where the demo's menu finds it, and writes its figures to a JSON. Stopped, it continues with the next network.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from digits import ink
from digits.drawings import DRAWINGS
from resnet import Recognizer, create
from resnet.checkpoint import SHIPPED
from serving.stopwatch import seconds_a_drawing

ROOT = SHIPPED.parent
FAMILY = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def train(network: str, flags: list[str], output: Path) -> float:
    """Trains for one epoch and shows what train.py prints. Returns the epoch's seconds, as train.py measures them."""
    command = [sys.executable, str(ROOT / "train.py"), "--arch", network, "--epochs", "1", *flags]
    command += ["--overwrite", "--output", str(output)]
    seconds = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            found = re.match(r"epoch .* (\d+) s$", line)
            seconds = float(found[1]) if found else seconds
    if process.returncode or seconds is None:
        raise ValueError(f"training {network} failed with exit code {process.returncode}. Its messages are above.")
    return seconds


def multiply_adds(network: str) -> int:
    """For one 28 x 28 image. torch counts each as two operations."""
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        create(network).eval()(torch.zeros(1, 1, 28, 28))
    return counted.get_total_flops() // 2


def examples_read(recognizer: Recognizer) -> int:
    """How many of the pad's ten examples it reads correctly."""
    images = np.stack([ink.from_strokes(DRAWINGS[digit]) for digit in range(10)])
    return int((recognizer.probabilities(images).argmax(axis=1) == np.arange(10)).sum())


def measure(network: str, flags: list[str], output: Path) -> dict[str, Any]:
    seconds = train(network, flags, output)
    recognizer = Recognizer.load(output, "cpu")
    torch.set_num_threads(1)  # as in the demo
    return {
        "network": network,
        "parameters": recognizer.history.parameters,
        "multiply_adds": multiply_adds(network),
        "seconds_an_epoch": seconds,
        "seconds_a_drawing": seconds_a_drawing(recognizer),
        "held_out_accuracy": recognizer.history.epochs[-1].held_out_accuracy,
        "test_accuracy": recognizer.history.test.accuracy,
        "examples_read": examples_read(recognizer),
    }


def row(measured: dict[str, Any]) -> str:
    """A row of the table in the docs."""
    return (
        f"| `{measured['network']}` | {measured['parameters'] / 1e6:.1f} M | {measured['multiply_adds'] / 1e6:.0f} M "
        f"| {measured['seconds_an_epoch']:.0f} s | {1000 * measured['seconds_a_drawing']:.0f} ms "
        f"| {100 * measured['test_accuracy']:.2f} % | {measured['examples_read']} of 10 |"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="folder of MNIST, downloaded if absent (default: %(default)s)")
    parser.add_argument("--networks", type=lambda text: text.split(","), default=FAMILY, help="a,b,... (default: all)")
    parser.add_argument("--bf16", action="store_true", help="train in bfloat16 (train.py --bf16)")
    parser.add_argument("--smoke", action="store_true", help="run every stage within seconds, on drawn digits")
    parser.add_argument(
        "--checkpoints", type=Path, default=SHIPPED, help="folder for the networks (default: checkpoints)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "benchmarks/family.json",
        help="the JSON (default: benchmarks/family.json)",
    )
    args = parser.parse_args()
    flags = ["--data", args.data, *(f"--{flag}" for flag in ("bf16", "smoke") if getattr(args, flag))]
    try:
        done = json.loads(args.output.read_text()) if args.output.exists() else []
        if not isinstance(done, list):
            raise ValueError(f"{args.output} was not written by this command. Choose another --output.")
        for network in args.networks:
            output = args.checkpoints / f"{network}-seed0.safetensors"
            if not output.exists() or network not in [measured["network"] for measured in done]:
                done = [measured for measured in done if measured["network"] != network]
                done.append(measure(network, flags, output))
                args.output.write_text(json.dumps(done, indent=1))
    except (ValueError, OSError) as error:
        sys.exit(f"family: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command continues with the next network.")
    print("\n".join(row(measured) for measured in done))


if __name__ == "__main__":
    main()
