"""The choices that a sweep compares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from speculatoviz.config import PolicyName, Settings
from speculatoviz.drafters.about import DRAFTERS, WITH_HEAD, WITH_MODEL, DrafterName
from speculatoviz.errors import BadRequestError

DEPTHS = (1, 2, 4, 8)
POLICIES: tuple[PolicyName, ...] = ("fixed", "auto")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A drafter to try. weights: its draft model, its head, or the cheaper version of the target that it drafts with.

    Empty weights stand for those of the settings.
    """

    drafter: str
    weights: str = ""

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """From `suffix`, `model=NAME`, `eagle=FILE` or `selfspec=Q2_K`. Raises BadRequestError."""
        drafter, named, weights = text.partition("=")
        takes = drafter in WITH_MODEL | (WITH_HEAD - {"mtp"}) | {"selfspec"}
        if drafter not in DRAFTERS or (named and not (weights and takes)):
            known = ", ".join(DRAFTERS)
            raise BadRequestError(
                f"{text!r} is no drafter to measure.",
                f"Write one of {known}, or one with its weights, such as model=NAME or eagle=FILE.",
            )
        return cls(drafter, weights)

    @property
    def label(self) -> str:
        return f"{self.drafter} ({self.weights})" if self.weights else self.drafter


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to decode.

    drafter: empty if the policy chooses it. weights: as for `Candidate`. policy: `fixed`, `adaptive` or `auto`. k: the
    depth of `fixed`, 0 for plain decoding; None for a policy that chooses the depth. nodes: of a tree, 0 for a chain.
    """

    drafter: str = ""
    weights: str = ""
    policy: PolicyName = "fixed"
    k: int | None = None
    nodes: int = 0

    @property
    def plain(self) -> bool:
        return self.policy == "fixed" and self.k == 0

    @property
    def source(self) -> str:
        """The drafter as a reader names it."""
        return Candidate(self.drafter, self.weights).label if self.drafter else ""

    @property
    def label(self) -> str:
        """For a reader, such as `eagle, k 4` or `auto`."""
        if self.plain:
            return "plain"
        if self.policy != "fixed":
            weights = f" ({self.weights})" if self.weights else ""
            return f"{self.policy} on {self.source}" if self.drafter else f"{self.policy}{weights}"
        tree = f", tree of {self.nodes}" if self.nodes else ""
        return f"{self.source}, k {self.k}{tree}"

    @property
    def start(self) -> dict[str, object]:
        """The fields of a start message that decode so."""
        chosen: dict[str, object] = {"policy": self.policy, "nodes": self.nodes}
        if self.k is not None:
            chosen["k"] = self.k
        if self.plain:
            chosen["drafter"] = "ngram"  # needs nothing of the target's passes
        elif self.drafter:
            chosen["drafter"] = self.drafter
        return chosen


PLAIN = Cell(k=0)


@dataclass(frozen=True, slots=True)
class Grid:
    """What is compared. depths: of the policy `fixed`. nodes: of trees, 0 for chains.

    auto: the drafter of `auto` where several candidates share weights; empty for its own choice.
    """

    candidates: tuple[Candidate, ...]
    depths: tuple[int, ...] = DEPTHS
    policies: tuple[PolicyName, ...] = POLICIES
    temperatures: tuple[float, ...] = (0.0,)
    nodes: tuple[int, ...] = (0,)
    auto: str = ""

    @property
    def cells(self) -> list[Cell]:
        """Every cell but plain decoding: by candidate, then by policy, then by depth, then by nodes.

        `auto` has one cell for all candidates with the same weights: on the candidate if there is only one of them,
        else on `self.auto`, or it chooses between the usual drafter and `suffix`.
        """
        found = list[Cell]()
        for candidate in self.candidates:
            for policy in self.policies:
                if policy == "fixed":
                    found += self._fixed(candidate)
                elif policy == "adaptive":
                    found.append(Cell(candidate.drafter, candidate.weights, "adaptive"))
        if "auto" in self.policies:
            for weights, group in grouped(self.candidates):
                found.append(Cell(group[0].drafter if len(group) == 1 else self.auto, weights, "auto"))
        return found

    def _fixed(self, candidate: Candidate) -> list[Cell]:
        trees = DRAFTERS[cast(DrafterName, candidate.drafter)].trees
        return [
            Cell(candidate.drafter, candidate.weights, "fixed", k, nodes)
            for k in self.depths
            for nodes in self.nodes
            if k > 0 and (nodes == 0 or (trees and nodes > k))
        ]


def usual_candidates(settings: Settings) -> tuple[Candidate, ...]:
    """The drafter of the settings, and matches in the text."""
    return tuple(Candidate(name) for name in dict.fromkeys((settings.resolved().drafter, "suffix")))


def grouped(candidates: Iterable[Candidate]) -> list[tuple[str, list[Candidate]]]:
    """The candidates by weights, in the order in which weights first appear: each group shares loaded models."""
    listed = list(candidates)
    order = list(dict.fromkeys(candidate.weights for candidate in listed))
    ranked = sorted(listed, key=lambda candidate: order.index(candidate.weights))
    return [(weights, list(group)) for weights, group in groupby(ranked, key=lambda candidate: candidate.weights)]


def session_settings(settings: Settings, cells: Sequence[Cell]) -> Settings:
    """The settings of a session that runs cells with the same weights.

    Nothing of an earlier run helps a later one: no prompt cache, and no earlier outputs for `suffix`, which would find
    the answer to a repeated prompt there.
    """
    weights, drafters = cells[0].weights, [cell.drafter for cell in cells]
    named = next((drafter for drafter in drafters if drafter), None)
    changed: dict[str, object] = {
        "evidence": False,
        "prompt_cache_tokens": 0,
        "prompt_cache": None,
        "corpus_tokens": 0,
        "policy": None,
        "k": None,
        "nodes": 0,
        "drafter": None if "" in drafters else named,
    }
    if weights:
        changed["draft" if named in WITH_MODEL else "head" if named in WITH_HEAD else "selfspec"] = weights
    elif "" not in drafters and not WITH_MODEL.intersection(drafters):
        changed["draft"] = "none"
    return settings.model_copy(update=changed)
