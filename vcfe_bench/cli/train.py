"""``vcfe-bench train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

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
    from safetensors.torch import save_file

    from vcfe_bench.plugins import DATASETS
    from vcfe_bench.training import target as training

    recipe = training.TargetRecipe(steps=steps, adversary=adversary, start=start)
    model = training.train(DATASETS.build(dataset), checkpoints, recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, out)
    print(f"wrote {out}")


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
