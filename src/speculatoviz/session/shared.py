"""What each run of several at the same time has of its own, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speculatoviz.config import Settings
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.prefix_cache import PrefixCache
from speculatoviz.models.turns import Turns
from speculatoviz.session.heads import LoadedHead
from speculatoviz.session.prompt_cache import PromptCacheMeter, open_prompt_cache
from speculatoviz.targets.base import Target


@dataclass(slots=True, eq=False)
class Place:
    """What one run uses: a target and drafters with contexts of their own. meter: of what the prompt cache saves it."""

    target: Target
    drafters: dict[str, Drafter]
    meter: PromptCacheMeter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = PromptCacheMeter(self.target.window)

    @property
    def suffix(self) -> SuffixDrafter | None:
        """The drafter that remembers finished texts."""
        found = self.drafters.get("suffix")
        return found if isinstance(found, SuffixDrafter) else None

    def held(self, prompt: Sequence[int]) -> int:
        """How many ids of a prompt its target holds."""
        if self.target.window is not None:
            return self.target.window.common(prompt)
        return 0 if self.target.remote is None else self.target.remote.held(prompt)

    def close(self) -> None:
        """Close the drafters, then the target."""
        for drafter in self.drafters.values():
            drafter.close()
        self.target.close()


@dataclass(slots=True, eq=False)
class Shared:
    """What all places share. turns: on the models. heads: trained heads, by file. Prompt caches, one for each model."""

    settings: Settings
    turns: Turns
    heads: dict[Path, LoadedHead] = field(default_factory=dict)
    _prefixes: dict[int, PrefixCache] = field(default_factory=dict)

    def prefixes(self, model: LanguageModel) -> PrefixCache:
        """The prompt cache of a model that stays loaded."""
        if id(model) not in self._prefixes:
            self._prefixes[id(model)] = open_prompt_cache(self.settings, model)
        return self._prefixes[id(model)]
