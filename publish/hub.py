"""A trained network as a model repository of the Hugging Face Hub: `python -m publish.hub CHECKPOINT FOLDER`

Writes `model.safetensors`, `config.json` and a model card to FOLDER. `--upload USER/REPO` also uploads them, as the
user who is logged in (`hf auth login`). `Recognizer.load("hf://USER/REPO")` loads them from there.
"""

import argparse
import json
import sys
from pathlib import Path

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HTTPError

from resnet import checkpoint
from resnet.history import History
from resnet.hub import WEIGHTS
from resnet.networks import IMAGE_SIZE

TEMPLATE = Path(__file__).with_name("card.md")


def write_folder(trained: checkpoint.Checkpoint, folder: Path, repository: str = "USER/REPO") -> None:
    """Weights, config and card. The card shows how to load them from `repository`."""
    checkpoint.save(trained, folder / WEIGHTS)
    config = {"architecture": trained.architecture, "num_channels": 1, "image_size": IMAGE_SIZE, "num_classes": 10}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "README.md").write_text(str(model_card(trained, repository)), "utf-8")


def model_card(trained: checkpoint.Checkpoint, repository: str) -> ModelCard:
    """Markdown, with the front matter that the Hub reads. Only accuracy on MNIST's test set is listed there."""
    history, results = trained.history, None
    if history and history.test and history.data == "MNIST":
        results = [
            EvalResult(
                task_type="image-classification",
                dataset_type="ylecun/mnist",
                dataset_name="MNIST",
                dataset_split="test",
                metric_type="accuracy",
                metric_value=history.test.accuracy,
            )
        ]
    return ModelCard.from_template(
        ModelCardData(
            model_name=trained.architecture,
            pipeline_tag="image-classification",
            datasets=["ylecun/mnist"],
            tags=["mnist", "resnet"],
            eval_results=results,
        ),
        template_path=str(TEMPLATE),
        architecture=trained.architecture,
        size=IMAGE_SIZE,
        parameters=f"{sum(parameter.numel() for parameter in trained.build().parameters()):,}",
        history=history,
        command=history and train_command(history),
        repository=repository,
    )


def train_command(history: History) -> str:
    settings = {"arch": history.settings.arch, **history.settings.model_dump(exclude_defaults=True)}
    flags = [f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}") for name, value in settings.items()]
    return " ".join(["python train.py", *flags])


def upload(folder: Path, repository: str) -> None:
    """Creates the repository where it does not exist. Raises `OSError` where the Hub refuses or is not reached."""
    api = HfApi()
    try:
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder)
    except HTTPError as error:
        raise OSError(f"{repository} was not uploaded: {str(error).splitlines()[0]}") from None


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--upload", metavar="USER/REPO", help="upload the folder to this repository of the Hub")
    args = parser.parse_args()
    try:
        write_folder(checkpoint.load(args.checkpoint), args.folder, args.upload or "USER/REPO")
        print(f"Written to {args.folder}.")
        if args.upload:
            upload(args.folder, args.upload)
            print(f"Uploaded to {args.upload}.")
    except (ValueError, OSError) as error:
        sys.exit(f"publish.hub: {error}")


if __name__ == "__main__":
    main()
