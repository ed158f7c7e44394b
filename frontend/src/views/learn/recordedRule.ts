// Five tokens of a recorded decision, for the scene "The rule".
import type { Run } from "../../run/model";
import { typicalRound } from "../../run/walk";
import { type Distribution, LEAST } from "../../theory/rule";
import { visible } from "../../words/label";

const TOKENS = 5;

export interface RecordedRule {
  readonly tokens: readonly string[];
  readonly p: Distribution;
  readonly q: Distribution;
}

interface Score {
  readonly token: string;
  readonly token_id: number;
  readonly logprob: number;
}

/** softmax(logprob / temperature) over the known tokens, by token id. */
function tempered(scores: readonly Score[], temperature: number): Map<number, number> {
  const weights = scores.map(({ logprob }) => Math.exp(logprob / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return new Map(scores.map(({ token_id }, index) => [token_id, (weights[index] ?? 0) / total]));
}

/** The values as a distribution in which no token has less than LEAST. */
function lifted(values: readonly number[]): Distribution {
  const total = values.reduce((sum, value) => sum + value, 0);
  return values.map((value) => LEAST + (1 - values.length * LEAST) * (value / total));
}

/**
 * The first rejected token of the typical round: the five most probable tokens there, p and q scaled to them. Null for a
 * run without rejections, at temperature 0, and where fewer tokens are known.
 */
export function recordedRule(run: Run): RecordedRule | null {
  const token = typicalRound(run)?.drafted.find(({ status }) => status === "rejected");
  const temperature = run.started?.sampling.temperature ?? 0;
  if (!token || temperature <= 0) return null;
  const targets = token.verdict?.target_top_tokens ?? [];
  const drafts = token.draft?.top_tokens ?? [];
  const p = tempered(targets, temperature);
  const q = tempered(drafts, temperature);
  const labels = new Map([...drafts, ...targets].map((score) => [score.token_id, visible(score.token)]));
  const weight = (id: number) => (p.get(id) ?? 0) + (q.get(id) ?? 0);
  const ids = [...labels.keys()].toSorted((a, b) => weight(b) - weight(a)).slice(0, TOKENS);
  if (ids.length < TOKENS) return null;
  return {
    tokens: ids.map((id) => labels.get(id) ?? ""),
    p: lifted(ids.map((id) => p.get(id) ?? 0)),
    q: lifted(ids.map((id) => q.get(id) ?? 0)),
  };
}
