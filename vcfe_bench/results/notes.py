"""What a reader has to know about the numbers of a leaderboard, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from vcfe_bench.core.text import printable
from vcfe_bench.results.cells import SELECTED
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.stats.intervals import FEWEST

COMPARISON = (
    "Bold: significantly better than every other method. Methods that share a letter are not distinguishable "
    "(sign-flip permutation tests on shared videos, Holm correction, 5 %). Only means over videos are tested; the "
    f"reference methods ({', '.join(REFERENCES)}) are not."
)
READING = (
    "n: videos (and goals) that a method was asked to change; those without a counterfactual count as 0 in rates of "
    "flips. n=a/b: the value is over the a counterfactuals that have one. [low, high]: 95 % interval over videos; "
    f"means over fewer than {FEWEST} videos have none. floor: the noise floor, real videos against other real videos "
    "at the same n, mean ± standard deviation over random halves. noise: that standard deviation, for a distance whose "
    "floor is 0. D(E(x)): originals against their own reconstructions by the generator, at the same n. calls: "
    "network calls per video that was asked, answered or not, counted by the harness and weighted by floating-point "
    "operations, backward passes twice; "
    "1 is a forward pass of the generator's velocity on one video (of the target, in runs without a generator)."
)
SELECTION = (
    f"{SELECTED.strip()}: over each method's own flips, which are different videos for different methods. Tables that "
    "compare methods also have the column 'flipped by all', over the questions whose goal all of them met."
)


def notes(board: Leaderboard) -> list[str]:
    """The notes below a leaderboard, each once."""
    comparison = [COMPARISON] if board.compared else []
    selection = [SELECTION] if any(card.selected and not card.unavailable for card in board.metrics) else []
    texts = (*comparison, READING, *selection, *_tasks(board), *_metrics(board), *board.notes)
    return list(dict.fromkeys(map(printable, texts)))


def _tasks(board: Leaderboard) -> Iterator[str]:
    if board.missing:
        yield f"{board.missing} planned tasks have not run yet: run the same command again to resume."
    for _, row in board.frame.iterrows():
        if row["reasons"]:
            counts = ", ".join(f"{row[status]} {status}" for status in ("failed", "skipped", "declined"))
            yield f"{row['method']}: {counts}: {row['reasons']}"


def _metrics(board: Leaderboard) -> Iterator[str]:
    for card in board.metrics:
        if card.unavailable:
            yield f"{card.name} is not available: {card.unavailable}"
        elif card.problems:
            yield f"{card.name} {card.problems}"
        elif card.level == "set":
            fewest = board.frame.loc[board.frame[card.name].notna(), f"{card.name}_n"].min()
            if fewest < card.min_samples:
                yield (
                    f"{card.name} is biased at this n: {fewest:,} videos are fewer than the {card.min_samples:,} that "
                    "the covariance of its features needs for full rank. Compare it with its floor only."
                )
