"""The card of a trained head: what a user should know of it, in Markdown, from the values that it was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from speculatoviz.train.dialogue import Recipe
from speculatoviz.train.job import LAYERED, TrainKind

_KEYS = {field.name for field in fields(Recipe)}
_ARCHITECTURES: Mapping[TrainKind, str] = {
    "eagle": "An EAGLE head: one decoder layer that predicts the target's next hidden states from its last ones and "
    "the embeddings of two tokens (Li et al. 2024), trained on its own predictions too (Li et al. 2025).",
    "medusa": "Medusa heads: residual blocks on the target's last hidden state, one head for each place ahead "
    "(Cai et al. 2024, Medusa-1).",
    "eagle3": "An EAGLE-3 head: one decoder layer on the inputs of three inner layers of the target, trained on its "
    "own states with a loss on tokens alone (Li et al. 2025).",
    "p-eagle": "A P-EAGLE head: one decoder layer on the inputs of three inner layers of the target, which predicts "
    "all tokens of a draft in one pass, at masked places (Hui et al. 2026).",
}
_SHARED = "Embeddings and output rows are the target's."
_OWN_ROWS = (
    "Embeddings are the target's; its output rows are its own and began as the target's. The layout is SpecForge's."
)


def markdown(kind: TrainKind, target: str, drafted: int, card: Mapping[str, Any], tokens: int) -> str:
    """The card of a head. target: its name. drafted: ids that it can draft. tokens: of dialogues, as asked for."""
    shares = ", ".join(f"{100 * share:.0f} %" for share in card["held_out_conditional"])
    command = f"speculatoviz train {kind} --target {target} --tokens {tokens} --steps {card['of_steps']}"
    texts = card.get("texts") or []
    if texts:
        command += "".join(f" --text {own['folder']}" for own in texts) + f" --text-share {card['text_share']:g}"
    begun = card.get("begun_with")
    if kind in LAYERED:
        command += f" --unroll {card['trained_depth']}"
        if card.get("layers"):
            command += f" --layers {','.join(map(str, card['layers']))}"
    if begun:
        command += f" --begin-with {begun}"
    if validated := card.get("validation"):
        command += f" --validate {validated['file']} --validate-tokens {validated['answer_tokens']}"
    return f"""# {kind} for {target}

{_ARCHITECTURES[kind]}

It has {card["parameters"] / 1e6:.1f} million parameters in float16. {_OWN_ROWS if kind in LAYERED else _SHARED} It can
draft the {drafted} tokens that are most frequent in what it was trained on. It cannot change what the target writes: a
draft is a proposal.{_layers(card)}

## Data

{card["dialogues"]} dialogues, {card["tokens"]} tokens, {card["answer_tokens"]} of them in answers. The target wrote
both sides of them, from its own chat template, and no prompt of a benchmark was trained on. The hidden states are the
target's.

{_read(texts)}

{_written(card["recipes"])}

## Training

Step {card["steps"]} of {card["of_steps"]}, {card["batch_tokens"]} tokens a step, {card["optimisers"]}, learning rate up
to {card["rate"]:g}, seed {card["seed"]}, PyTorch {card["torch"]}. Loss: {card["loss"]}. It is trained for drafts of up
to {card["trained_depth"]} tokens.{f" The training began with the weights of {begun}." if begun else ""}

## Measured

On {card["held_out_answers"]} held-out greedy answers, with chains of {card["depth"]} tokens: mean acceptance length
{card["held_out_acceptance_length"]:.2f} (1 if no draft is accepted). Accepted tokens of those whose predecessors were
accepted, by position: {shares}. The best step was chosen by such figures; on other text the head has to be
measured.{_rounding(kind, card)}
{_by_category(card)}
## Licence

It was trained on text and states of {target}, whose file states {_licence(card)}. Whether that licence covers the head
is for you to judge before you publish it.{_licence_of_texts(texts)}

## Again

```
{command} --seed {card["seed"]} --out {kind if kind in LAYERED else f"{kind}.safetensors"}
```
"""


def _layers(card: Mapping[str, Any]) -> str:
    if not card.get("layers"):
        return ""
    return f" It reads the inputs of the layers {', '.join(map(str, card['layers']))} of the target, counted from 0."


def _rounding(kind: TrainKind, card: Mapping[str, Any]) -> str:
    if kind not in LAYERED:
        return ""
    return (
        f" All figures are of the head as it drafts: with matrices in {card['bits']} bits, the fusion in 8. Before "
        f"that rounding the mean acceptance length was {card['acceptance_length_in_training']:.2f}."
    )


def _by_category(card: Mapping[str, Any]) -> str:
    """A table of the prompts that the user named, if any."""
    validated = card.get("validation")
    if not validated:
        return ""
    of_all, length = validated["all"]
    rows = [f"| {_cell(name)} | {count} | {own:.2f} |" for name, count, own in validated["categories"]]
    left_out = f" {validated['left_out']} prompts are too long and were left out." if validated["left_out"] else ""
    return f"""
By category, on the target's greedy answers of at most {validated["answer_tokens"]} tokens to the prompts of
{validated["file"]}, with chains of {card["depth"]} tokens. The head was not trained on them, and they did not choose
the step.{left_out}

| category | answers | mean acceptance length |
|---|---:|---:|
{chr(10).join(rows)}
| all | {of_all} | {length:.2f} |
"""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _licence(card: Mapping[str, Any]) -> str:
    return f"the licence {card['licence']}" if card.get("licence") else "no licence"


def _read(texts: Sequence[Mapping[str, Any]]) -> str:
    if not texts:
        return "No other text was used."
    folders = [f"{own['tokens']} tokens of {own['files']} files in the folder {own['folder']}" for own in texts]
    return (
        f"The target also read texts: {', '.join(folders)}. A predicted token of them counts half of one of an answer, "
        "and none was held out."
    )


def _licence_of_texts(texts: Sequence[Mapping[str, Any]]) -> str:
    if not texts:
        return ""
    return " The same holds for the licences of the texts that it read: what they allow is not recorded here."


def _written(recipes: Sequence[Mapping[str, Any] | None]) -> str:
    """How the dialogues were written, a paragraph for each way."""
    paragraphs = [_recipe(recipe) for recipe in recipes if recipe is not None and recipe.keys() >= _KEYS]
    if len(paragraphs) < len(recipes):
        which = "the other dialogues" if paragraphs else "they"
        paragraphs.append(f"How {which} were sampled is not recorded.")
    return "\n\n".join(paragraphs)


def _recipe(recipe: Mapping[str, Any]) -> str:
    def span(name: str) -> str:
        low, high = recipe[name]
        return f"{low:g} to {high:g}"

    return (
        f"A question has at most {span('question_tokens')} tokens and is sampled at a temperature of "
        f"{span('question_temperature')}. The first one is written after an empty system message in "
        f"{recipe['unguided']:.0%} of the dialogues, if the template takes one; {recipe['opening_word']:.0%} of all "
        f"begin with a word drawn from the whole vocabulary. An answer has at most {recipe['answer_tokens']} tokens; "
        f"{recipe['greedy_share']:.0%} are greedy, the others are sampled at a temperature of "
        f"{span('answer_temperature')}. {recipe['second_turn']:.0%} of the dialogues are planned with a second turn."
    )
