"""How a network was trained: the typed record that travels with its weights.

Every field is bounded, so that whatever loads can also be shown. What is out of bounds raises pydantic's
`ValidationError`, a `ValueError`; `first_error` says it in one line.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from resnet.networks import ARCHITECTURES, IMAGE_SIZE

PIXELS = IMAGE_SIZE**2
DEFAULT = "small"  # what train.py trains and demo.py shows unless told otherwise


def _known(architecture: str) -> str:
    if architecture not in ARCHITECTURES:
        raise ValueError(f"unknown network {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    return architecture


Architecture = Annotated[str, AfterValidator(_known)]
Text = Annotated[str, Field(max_length=200)]
Count = Annotated[int, Field(ge=0, lt=10**10)]
Loss = Annotated[float, Field(ge=0, lt=1e30)]  # nats, mean cross-entropy
Share = Annotated[float, Field(ge=0, le=1)]
Digit = Annotated[int, Field(ge=0, le=9)]
Shade = Annotated[int, Field(ge=0, le=255)]  # 0 = paper, 255 = ink
Row = Annotated[tuple[Count, ...], Field(min_length=10, max_length=10)]


class Record(BaseModel):
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, revalidate_instances="always"
    )


class Settings(Record):
    """What determines the weights, on the same machine with as many processes. Each field is a flag of train.py."""

    arch: Architecture = Field(DEFAULT, description="network architecture")
    epochs: int = Field(24, ge=1, le=10_000, description="passes over the training images")
    batch_size: int = Field(128, ge=1, le=100_000, description="images per step")
    lr: float = Field(
        3e-3, gt=0, lt=1, description="AdamW's highest learning rate; one cycle rises to it, then falls to almost 0"
    )
    weight_decay: float = Field(
        0.1, ge=0, lt=1, description="AdamW's weight decay: each step shrinks every weight by the learning rate x this"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of initial weights, image order and augmentation")
    plain: bool = Field(
        False, description="train on unchanged images, as tutorials do, without augmentation or calibration"
    )
    bf16: bool = Field(
        False, description="compute in bfloat16, where the processor can; weights and evaluation stay float32"
    )
    compile: bool = Field(False, description="use torch.compile, which takes a minute before the first step")
    smoke: bool = Field(
        False, description="run every stage within seconds: a few small epochs on ten drawings instead of MNIST"
    )


class Images(Record):
    """How many images each split holds."""

    train: Count
    held_out: Count
    test: Count


class Versions(Record):
    python: Text
    torch: Text


class Epoch(Record):
    train_loss: Loss
    held_out_loss: Loss
    held_out_accuracy: Share


class Mistake(Record):
    label: Digit
    read: Digit
    probability: Share
    image: Annotated[tuple[Shade, ...], Field(min_length=PIXELS, max_length=PIXELS)]


class Evaluation(Record):
    """The test set, read once. `confusion[label][read]` counts images; `mistakes` has the most confident ones first."""

    loss: Loss
    accuracy: Share
    confusion: Annotated[tuple[Row, ...], Field(min_length=10, max_length=10)]
    mistakes: Annotated[tuple[Mistake, ...], Field(max_length=100)]


class History(Record):
    data: Text  # "MNIST" or "drawn digits"
    images: Images
    settings: Settings
    versions: Annotated[tuple[Versions, ...], Field(max_length=100)]  # every one that the run used, first to last
    parameters: Count
    epochs: Annotated[tuple[Epoch, ...], Field(max_length=10_000)]
    temperature: Annotated[float, Field(gt=0, lt=1e30)]  # calibration divided the logits by it; 1 = not calibrated
    test: Evaluation | None  # None until training has ended


def first_error(error: ValueError) -> str:
    """In one line: `epochs: Input should be less than or equal to 10000`."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
