// The form as a link: prompt and settings in the part of the address after `#`, which no server sees.
import { type Choices, choicesFrom, type Form, NUMBERS } from "./form";

/** Longer prompts make addresses that some programs cut off. */
export const LONGEST_LINK = 16_000;

/** The settings of the next run, so that they are the same where other defaults hold. */
export function linkOf(form: Form): string {
  const query = new URLSearchParams({ prompt: form.prompt, policy: form.policy });
  const { prediction, drafter, rule, seed } = form;
  const own = { prediction, drafter, rule, seed };
  for (const [name, value] of Object.entries(own)) if (value !== null) query.set(name, `${value}`);
  for (const name of form.shadow) query.append("shadow", name);
  for (const name of NUMBERS) {
    // Where a policy chooses the depth, only a largest depth that the user set belongs to the run.
    const depth = name === "deepest" ? form.policy !== "fixed" && form.depth !== null : true;
    if (depth) query.set(name, `${form.numbers[name]}`);
  }
  return `#${query}`;
}

const numberOf = (text: string | null): number | undefined =>
  text !== null && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : undefined;

/** The choices in a link; null where the address holds none. Unexpected values are ignored. */
export function choicesOfLink(hash: string): Choices | null {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  if (!query.has("prompt")) return null;
  const policy = query.get("policy");
  const drafter = query.get("drafter");
  const numbers = Object.fromEntries(NUMBERS.map((name) => [name, numberOf(query.get(name))]));
  return choicesFrom({
    prompt: query.get("prompt"),
    prediction: query.get("prediction"),
    policy,
    drafter: policy === "auto" ? null : drafter,
    onlyDrafter: policy === "auto" ? drafter : null,
    rule: query.get("rule"),
    shadow: query.getAll("shadow"),
    seed: numberOf(query.get("seed")),
    numbers,
  });
}
