"""``vcfe-bench train``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

if TYPE_CHECKING:
    from torch import Tensor

train_app = Typer(
    help="Train the embedded networks from scratch; an interrupted training resumes.", no_args_is_help=True
)

DatasetName = Annotated[str, Argument(help="Dataset spec, e.g. shape_moving.")]
Folder = Annotated[Path, Option(help="Where checkpoints are kept.")]
Out = Annotated[Path, Option(help="Where the finished weights go.")]


@train_app.command(epilog="Example: vcfe-bench train target shape_moving --out m_swin.safetensors")
def target(
    dataset: DatasetName,
    out: Out,
    checkpoints: Folder = Path("checkpoints"),
    steps: Annotated[int, Option(help="Number of updates.", min=1)] = 4000,
    adversary: Annotated[
        str, Option(help="Spec of an attack to train against, e.g. 'pgd[steps=3,random_start=true]'.")
    ] = "",
    start: Annotated[str, Option(help="Weights to begin with.")] = "",
) -> None:
    """Train a small Video Swin classifier or regressor; about 20 minutes on one core."""
    from vcfe_bench.plugins import DATASETS
    from vcfe_bench.training import target as training

    recipe = training.TargetRecipe(steps=steps, adversary=adversary, start=start)
    _save(training.train(DATASETS.build(dataset), checkpoints, recipe).state_dict(), out)


@train_app.command(epilog="Example: vcfe-bench train generator shape_moving --out wan_shape_moving")
def generator(dataset: DatasetName, out: Out, checkpoints: Folder = Path("checkpoints")) -> None:
    """Train a small Wan image-to-video model: first its autoencoder, then its transformer; some hours on two cores."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    from vcfe_bench.plugins import DATASETS
    from vcfe_bench.training import transformer, vae

    data = DATASETS.build(dataset)
    finished = checkpoints / "vae"
    if finished.exists():
        autoencoder = AutoencoderKLWan.from_pretrained(finished).eval().requires_grad_(False)
    else:
        autoencoder = vae.train(data, checkpoints)
        autoencoder.save_pretrained(finished)
    transformer.train(data, autoencoder, checkpoints).save(out)
    print(f"wrote {out}")


@train_app.command(
    "c3d_resnet", epilog="Example: vcfe-bench train c3d_resnet shape_scenes --out c3d_resnet-small-fc1.safetensors"
)
def c3d_resnet(
    dataset: DatasetName,
    out: Out,
    checkpoints: Folder = Path("checkpoints"),
    size: Annotated[str, Option(help="Size of the network: small or c3d_resnet.")] = "small",
    fc: Annotated[int, Option(help="Fully connected layers.", min=1, max=3)] = 1,
    steps: Annotated[int, Option(help="Number of updates.", min=1)] = 4000,
) -> None:
    """Train a C3D-ResNet classifier, the target of the counterfactual tubes; an hour or two on one core."""
    from vcfe_bench.plugins import DATASETS
    from vcfe_bench.training import c3d_resnet as training

    recipe = training.C3DRecipe(size=size, fc=fc, steps=steps)
    _save(training.train(DATASETS.build(dataset), checkpoints, recipe).state_dict(), out)


@train_app.command(
    epilog="Example: vcfe-bench train explainer shape_scenes --target c3d_resnet --out tubes.safetensors"
)
def explainer(
    dataset: DatasetName,
    out: Out,
    method: Annotated[str, Option(help="Spec of the method that explains.")] = "tubes",
    target: Annotated[str, Option(help="Target spec; by default the dataset's own.")] = "",
    checkpoints: Folder = Path("checkpoints"),
    steps: Annotated[int, Option(help="Number of updates.", min=1)] = 2000,
) -> None:
    """Train what a method carries to explain one target on one dataset; the target stays as it is."""
    from vcfe_bench.errors import UsageError
    from vcfe_bench.plugins import DATASETS, METHODS, TARGETS

    data, explaining = DATASETS.build(dataset), METHODS.build(method)
    if not (target or data.target):
        raise UsageError(f"dataset '{data.spec}' has no target of its own: choose one with --target")
    model = TARGETS.build(target or data.target).eval().requires_grad_(False)
    try:
        weights = explaining.fit(data, model, checkpoints, steps)
    except NotImplementedError as error:
        raise UsageError(str(error)) from None
    _save(weights, out)


def _save(state: Mapping[str, Tensor], out: Path) -> None:
    from safetensors.torch import save_file

    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, out)
    print(f"wrote {out}")
