"""``vcfe-bench train``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

if TYPE_CHECKING:
    from torch import Tensor

    from vcfe_bench.models.wan import WanModel
    from vcfe_bench.plugins.dataset import Dataset
    from vcfe_bench.training.lora import LoRARecipe

train_app = Typer(
    help="Train the embedded networks or adapt a generator. Interrupted training resumes.", no_args_is_help=True
)

DatasetName = Annotated[str, Argument(help="Dataset spec, e.g. shape_moving.")]
Folder = Annotated[Path, Option(help="Folder for checkpoints.")]
Out = Annotated[Path, Option(help="File or folder to write the trained weights to.")]


@train_app.command(
    epilog="Example: vcfe-bench train target shape_moving --out mine.safetensors\n\n"
    "Or: vcfe-bench train target mead --recipe e_swin --batch 16 --precision bf16 --out e_swin.safetensors"
)
def target(
    dataset: DatasetName,
    out: Out,
    checkpoints: Folder = Path("checkpoints"),
    recipe: Annotated[
        str,
        Option(help="Training recipe: embedded, or a published one: m_swin, e_swin, a_swin_r, echo_swin, video_swin."),
    ] = "embedded",
    size: Annotated[
        str | None, Option(help="Network: mini, swin3d_t, swin3d_s or swin3d_b; by default that of the recipe.")
    ] = None,
    length: Annotated[int | None, Option(help="Frames per clip; by default those of the recipe.", min=1)] = None,
    stride: Annotated[int | None, Option(help="Temporal stride: one of every this many frames is read.", min=1)] = None,
    epochs: Annotated[int | None, Option(help="Passes over the training split.", min=1)] = None,
    steps: Annotated[int | None, Option(help="Number of updates, instead of --epochs.", min=1)] = None,
    batch: Annotated[int | None, Option(help="Clips per update, over all processes.", min=1)] = None,
    lr: Annotated[float | None, Option(min=0.0, help="Peak learning rate.")] = None,
    adversary: Annotated[
        str | None,
        Option(help="Method spec of the attack for adversarial training, e.g. pgd; parameters go in brackets."),
    ] = None,
    generator: Annotated[
        str | None, Option(help="Spec of a generator whose reconstructions a regressor is trained to be invariant to.")
    ] = None,
    start: Annotated[str | None, Option(help="Weights to start from.")] = None,
    precision: Annotated[
        str | None,
        Option(help="Mixed precision: no, bf16 or fp16 (GPU only); by default the setting of accelerate launch."),
    ] = None,
) -> None:
    """Train a Video Swin classifier or regressor; the embedded recipe takes about 20 minutes on one core."""
    from accelerate import PartialState

    from vcfe_bench.plugins.registry import DATASETS
    from vcfe_bench.training import recipes
    from vcfe_bench.training import target as training

    given = {
        "size": size,
        "length": length,
        "stride": stride,
        "epochs": epochs,
        "steps": steps,
        "batch": batch,
        "lr": lr,
        "adversary": adversary,
        "generator": generator,
        "start": start,
        "precision": precision,
    }
    chosen = recipes.choose(recipe, **{name: value for name, value in given.items() if value is not None})
    data = DATASETS.build(dataset)
    model = training.train(data, checkpoints, chosen)
    if PartialState().is_main_process:
        chosen.config(data).write(model, out)
        print(f"wrote {out}: the target 'video_swin[weights={out}]'")


@train_app.command(
    epilog="Example: vcfe-bench train generator shape_moving --out wan_shape_moving\n\n"
    "Or: vcfe-bench train generator shape_moving --base 'wan[path=Wan-AI/Wan2.1-I2V-14B-480P-Diffusers]' --lora "
    "--out adapter"
)
def generator(
    dataset: DatasetName,
    out: Out,
    checkpoints: Folder = Path("checkpoints"),
    base: Annotated[str, Option(help="Spec of a generator to continue from, instead of training from scratch.")] = "",
    lora: Annotated[bool, Option("--lora", help="Train low-rank adapters of the base generator.")] = False,
    paper: Annotated[
        bool,
        Option(
            "--paper", help="Adapt as the BTTF paper does for this dataset: its training videos and a fixed prompt."
        ),
    ] = False,
    steps: Annotated[
        int | None,
        Option(help="Number of updates (for each network of a small Wan); by default those of the recipe.", min=1),
    ] = None,
    rank: Annotated[int, Option(help="Rank of the adapters.", min=1)] = 32,
    batch: Annotated[int, Option(help="Clips per update of the adapters.", min=1)] = 4,
    lr: Annotated[float, Option(help="Learning rate of the adapters.")] = 1e-4,
    network: Annotated[
        str, Option(help="Transformer to adapt; transformer_2 is the low-noise one of Wan2.2-I2V-A14B.")
    ] = "transformer",
    autoencoder: Annotated[
        Path | None, Option(help="Folder of a trained autoencoder to use as it is, instead of training one.")
    ] = None,
) -> None:
    """Train a small Wan image-to-video model from scratch (some hours on two cores), or adapt another generator."""
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins.registry import DATASETS

    if lora and not base:
        raise UsageError("--lora adapts a generator: choose it with --base")
    if paper and not lora:
        raise UsageError("--paper chooses videos and prompt of an adapter: add --lora")
    if paper:
        from vcfe_bench.training import adaptations

        dataset, base = adaptations.as_in_the_paper(dataset, base)
        print(f"adapts '{base}' to '{dataset}'")
    data = DATASETS.build(dataset)
    if lora:
        from vcfe_bench.training.lora import LoRARecipe

        _adapt(data, base, out, checkpoints, LoRARecipe(rank, steps or LoRARecipe.steps, batch, lr, network))
        return
    from vcfe_bench.training import muon, transformer, vae

    muon.require_muon()
    start = _small_wan(base) if base else None
    second = transformer.CONTINUED if start else transformer.TransformerRecipe()
    if steps:
        second = second.of(steps)
    if autoencoder:
        trained = vae.read(autoencoder)
    else:
        first = vae.CONTINUED if start else vae.VAERecipe()
        trained = vae.train(
            [data], checkpoints, first.of(steps) if steps else first, start=start.vae if start else None
        )
    transformer.train(data, trained, checkpoints, second, start=start).save(out)
    print(f"wrote {out}")


@train_app.command(
    epilog="Example: vcfe-bench train autoencoder shape_moving shape_shortcut shape_crowd --out autoencoder"
)
def autoencoder(
    datasets: Annotated[list[str], Argument(help="Dataset specs; their videos have one shape.")],
    out: Out,
    checkpoints: Folder = Path("checkpoints"),
    steps: Annotated[int | None, Option(help="Number of updates; by default those of the recipe.", min=1)] = None,
    decoder_of: Annotated[
        Path | None, Option(help="Folder of a trained autoencoder of which only the decoder is trained further.")
    ] = None,
) -> None:
    """Train the autoencoder of small Wan models, for one or several datasets (40 minutes on one core)."""
    from vcfe_bench.models.wan import save_halved
    from vcfe_bench.plugins.registry import DATASETS
    from vcfe_bench.training import vae

    recipe, start = vae.VAERecipe(), None
    if decoder_of:
        recipe, start = vae.DECODER, vae.read(decoder_of)
    chosen, data = recipe.of(steps) if steps else recipe, [DATASETS.build(spec) for spec in datasets]
    trained = vae.train(data, checkpoints, chosen, start=start, decoder_only=start is not None)
    save_halved(trained, out)
    print(f"wrote {out}: for 'vcfe-bench train generator --autoencoder {out}'")


def _small_wan(base: str) -> WanModel:
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.models.wan import Wan
    from vcfe_bench.plugins.registry import GENERATORS

    built = GENERATORS.build(base)
    if not isinstance(built, Wan) or built.name != "wan" or built.params.dtype != "float32":
        raise UsageError(f"'{base}' cannot be trained further as a whole: adapt it with --lora, or choose a small Wan")
    return built.model


def _adapt(data: Dataset, base: str, out: Path, checkpoints: Path, recipe: LoRARecipe) -> None:
    from accelerate import PartialState

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.models.latent_video import LatentVideoGenerator
    from vcfe_bench.plugins.registry import GENERATORS
    from vcfe_bench.training import lora

    model = GENERATORS.build(base)
    if not isinstance(model, LatentVideoGenerator):
        raise UsageError(f"generator '{base}' is not a diffusers pipeline, so it cannot be adapted")
    before = lora.held_out_loss(model, data, recipe.network)
    transformer = lora.train(data, model, checkpoints, recipe)
    if not PartialState().is_main_process:
        return
    lora.save(model, transformer, out)
    after = lora.held_out_loss(model, data, recipe.network)
    print(f"held-out flow loss {before:.4f} before, {after:.4f} after ({after / before - 1:+.0%})")
    print(f"wrote {out}")


@train_app.command(
    "c3d_resnet",
    epilog="Example: vcfe-bench train c3d_resnet shape_scenes --out c3d_resnet-small-fc1.safetensors\n\n"
    "Or: vcfe-bench train c3d_resnet olympic_sports --size c3d_resnet --batch 64 --start ucf101_24.safetensors "
    "--out olympic_sports.safetensors",
)
def c3d_resnet(
    dataset: DatasetName,
    out: Out,
    checkpoints: Folder = Path("checkpoints"),
    size: Annotated[str, Option(help="Network: small or c3d_resnet.")] = "small",
    fc: Annotated[int, Option(help="Number of fully connected layers.", min=1, max=3)] = 1,
    steps: Annotated[int, Option(help="Number of updates.", min=1)] = 4000,
    batch: Annotated[int, Option(help="Clips per update; the paper takes 64.", min=1)] = 16,
    start: Annotated[
        str, Option(help="File of a network trained on other classes to start from, e.g. on ucf101_24.")
    ] = "",
) -> None:
    """Train a C3D-ResNet, the target of counterfactual tubes (an hour or two on one core)."""
    from vcfe_bench.plugins.registry import DATASETS
    from vcfe_bench.training import c3d_resnet as training

    data, recipe = DATASETS.build(dataset), training.C3DRecipe(size, fc, steps, batch, start=start)
    recipe.config(data).write(training.train(data, checkpoints, recipe), out)
    print(f"wrote {out}: the target 'c3d_resnet[weights={out}]'")


@train_app.command(
    epilog="Example: vcfe-bench train explainer shape_scenes --target c3d_resnet --out tubes.safetensors"
)
def explainer(
    dataset: DatasetName,
    out: Out,
    method: Annotated[str, Option(help="Spec of the method whose explainer is trained.")] = "tubes",
    target: Annotated[str, Option(help="Target spec; by default the dataset's target.")] = "",
    checkpoints: Folder = Path("checkpoints"),
    steps: Annotated[int, Option(help="Number of updates.", min=1)] = 1000,
) -> None:
    """Train the explainer network of a method for one target and one dataset. The target itself is not changed."""
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins.registry import DATASETS, METHODS, frozen_target

    data, explaining_method = DATASETS.build(dataset), METHODS.build(method)
    if not (target or data.target):
        raise UsageError(f"dataset '{data.spec}' has no target of its own: choose one with --target")
    model = frozen_target(target or data.target)
    try:
        weights = explaining_method.fit(data, model, checkpoints, steps)
    except NotImplementedError as error:
        raise UsageError(str(error)) from None
    _save(weights, out)


def _save(state: Mapping[str, Tensor], out: Path) -> None:
    from safetensors.torch import save_file

    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, out)
    print(f"wrote {out}")
