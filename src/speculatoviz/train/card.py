"""What a person should know of a file of heads, in Markdown."""

from __future__ import annotations

from speculatoviz.heads.file import HeadFile

_WHAT = {
    "eagle": "An EAGLE head: one decoder layer that goes on from the target's last hidden state and the embeddings of "
    "its token and the next one (Li et al. 2024), trained on its own steps (Li et al. 2025), with normalised inputs.",
    "medusa": "Medusa heads: residual blocks on the target's last hidden state, one head for each place ahead "
    "(Cai et al. 2024, Medusa-1).",
}


def markdown(head: HeadFile, tokens: int) -> str:
    """The card of a head; tokens: how many dialogues were asked for, to repeat it."""
    card = head.card
    shares = ", ".join(f"{100 * share:.0f} %" for share in card["held_out_conditional"])
    command = f"speculatoviz train {head.kind} --target {head.target} --tokens {tokens} --steps {card['of_steps']}"
    begun = card.get("begun_with")
    if begun:
        command += f" --begin-with {begun}"
    return f"""# {head.kind} for {head.target}

{_WHAT[head.kind]}

It holds {card["parameters"] / 1e6:.1f} million parameters in float16. Embeddings and output rows are the target's own:
it can say the {len(head.vocabulary)} tokens that the target says most. Nothing of it changes what the target says: a
draft is only ever proposed.

## Data

{card["dialogues"]} dialogues, {card["tokens"]} tokens, {card["answer_tokens"]} of them answers. The target wrote both
sides of all of them, from its own chat template's empty user turn: no text of anyone else was used, and no prompt of
any benchmark. Questions are sampled at temperatures from 0.7 to 1; of the first ones of a dialogue eight of ten are
asked behind an empty system message where the template takes one, and a quarter of all begins with a word drawn from
the whole vocabulary. Half of the answers are greedy, the rest sampled at 0.7 to 1. States are the target's own.

## Training

Step {card["steps"]} of {card["of_steps"]}, {card["batch_tokens"]} tokens a step, Muon (AdamW for vectors) with a cosine
schedule from {card["rate"]:g}, seed {card["seed"]}, PyTorch {card["torch"]}. The loss is the divergence from
the target's own distributions over the head's vocabulary.{f" It began with the weights of {begun}." if begun else ""}

## Measured

On {card["held_out_answers"]} greedy answers that were held out, with chains of {card["depth"]}: mean acceptance length
{card["held_out_acceptance_length"]:.2f} (one is none accepted). Of the tokens of each position that could still be
accepted were: {shares}. This is how the best step was chosen; what the head reaches elsewhere has to be measured there.

## Again

```
{command} --seed {card["seed"]} --out {head.kind}.safetensors
```
"""
