"""Best of N: several seeds are sampled for a part of the steps, and only those with the best scores are finished.

A pure schedule: it knows neither networks nor scores. Sampling n seeds for a fraction f of the steps and finishing k of
them costs n*f + k*(1-f) runs where a paused run goes on, and n*f + k where it must start again: with 4 seeds, a quarter
and 1, that is 1.75 or 2 runs instead of 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import LumosXError

MOST_SEEDS = 256
SEEDS = 2**64

State = TypeVar("State")


@dataclass(frozen=True)
class BestOf:
    """How many seeds start, when they are scored, and how many are finished.

    Args:
        seeds: how many start.
        score_after: fraction of the steps after which they are scored, above 0 and at most 1.
        keep: how many are finished.

    Raises:
        LumosXError: a value that is not possible.
    """

    seeds: int = 4
    score_after: float = 0.25
    keep: int = 1

    def __post_init__(self):
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise LumosXError(f"The number of seeds is {self.seeds}, expected 1 to {MOST_SEEDS}. Use 4.")
        if not 0 < self.score_after <= 1:
            raise LumosXError(
                f"score_after is {self.score_after:g}, expected a fraction of the steps, more than 0 and at most 1. "
                f"Use 0.25."
            )
        if not 1 <= self.keep <= self.seeds:
            raise LumosXError(
                f"{self.keep} videos are to be kept of {self.seeds} seeds. Keep 1 to {self.seeds}, or start more seeds."
            )

    def scored_steps(self, steps: int) -> int:
        """The steps of each seed before it is scored: the nearest whole number, at least 1."""
        return min(steps, max(1, math.floor(steps * self.score_after + 0.5)))

    def seeds_from(self, first: int) -> list[int]:
        """The seeds that start: `first` and those after it; 0 follows the largest."""
        return [(first + number) % SEEDS for number in range(self.seeds)]

    def steps_taken(self, steps: int, *, restarts: bool = False) -> int:
        """The steps of all seeds together.

        Args:
            steps: of one run.
            restarts: seeds that are finished start again, as their sampler cannot be paused.
        """
        scored = self.scored_steps(steps)
        return self.seeds * scored + self.keep * (steps if restarts and scored < steps else steps - scored)


@dataclass(frozen=True, eq=False)
class Candidate(Generic[State]):
    """A seed that may be finished.

    Args:
        score: higher is better.
        state: whatever is needed to finish it.
    """

    seed: int
    score: float
    state: State


class Shortlist(Generic[State]):
    """The best candidates so far, so that the state of no other one is kept in memory.

    Args:
        keep: how many.
    """

    def __init__(self, keep: int):
        self.keep = keep
        self.candidates: list[Candidate[State]] = []
        self.scores: dict[int, float] = {}  # of all seeds, in the order in which they were offered

    def offer(self, seed: int, score: float, state: State) -> None:
        """Take in a seed; of equal scores the earlier one is better.

        Raises:
            LumosXError: a score that is not a number.
        """
        if math.isnan(score):
            raise LumosXError(
                f"The score of seed {seed} is not a number: the network gave NaN. Use --dtype bfloat16 or float32 (in "
                f"ComfyUI: weight_dtype default); if it stays, the weights are damaged."
            )
        self.scores[seed] = score
        self.candidates.append(Candidate(seed, score, state))
        self.candidates.sort(key=lambda candidate: -candidate.score)  # stable
        del self.candidates[self.keep :]


def describe_choice(scores: dict[int, float], finished: list[int], steps: int, scored: int, taken: int) -> str:
    """A line for each seed with its score and whether it was finished, and one on what all of it cost.

    Args:
        scores: of each seed.
        finished: the seeds that were finished, best first.
        steps: of one run.
        scored: steps before the score.
        taken: steps of all seeds together.
    """
    lines = []
    for seed, score in scores.items():
        outcome = "finished" if seed in finished else "stopped"
        if seed in finished and len(finished) > 1:
            outcome = f"finished as video {finished.index(seed)}"
        lines.append(f"Seed {seed}: score {score:.3f} after {scored} of {steps} steps, {outcome}.")
    lines.append(f"{taken} steps in all, as many as {taken / steps:.2f} runs.")
    return "\n".join(lines)
