// The words of the scene "Draft, verify, keep".
import type { Round, Token } from "../../run/model";
import { type TimePart, timeParts } from "../../run/times";
import type { Step } from "../../run/walk";
import { fixed, milliseconds, percent, plural, shownInText } from "../format";

export const LEAD =
  "A small model drafts a few tokens, one after another. The target then reads all of them in one pass, as it reads a prompt. Each is tested in turn, and the text keeps those that pass.";

export const WHY = [
  "The pass gives the target’s probabilities after every drafted token at once. If all drafts pass, it also gives the next token.",
  "After a rejected token everything that was drafted later is worthless: it continues a text that does not exist. So the first tokens of a draft matter most.",
  "A round always gives at least one token. In the worst case that is one token, as from a plain pass, and the draft only cost time.",
] as const;

const REJECTED_EARLY = "rejected. What was drafted after it is discarded.";

const quoted = ({ label }: Token): string => `“${shownInText(label)}”`;

function testWords(token: Token, later: number): string {
  const { verdict, status } = token;
  const end = status === "accepted" ? "accepted." : later > 0 ? REJECTED_EARLY : "rejected.";
  const limit = verdict?.acceptance_prob ?? null;
  if (limit === null || verdict?.target_prob == null) return `The target tests ${quoted(token)}: ${end}`;
  const probabilities = `The target gives ${quoted(token)} p = ${percent(verdict.target_prob)}, the drafter gave it q = ${percent(verdict.draft_prob)}.`;
  if (verdict.uniform === null) return `${probabilities} p is not below q: ${end}`;
  const sign = status === "accepted" ? "below" : "not below";
  return `${probabilities} So its chance is p/q = ${fixed(limit, 3)}. The drawn number ${fixed(verdict.uniform, 3)} is ${sign} that: ${end}`;
}

/** What a step did, in one or two sentences. plainMs: the time of a plain pass; null if it was not measured. */
export function stepWords(step: Step, round: Round, plainMs: number | null): string {
  const { drafted, emitted, metrics } = round;
  switch (step.kind) {
    case "start":
      return "This is the text so far. The next tokens are open.";
    case "draft": {
      const { draft } = step.token;
      return `The drafter proposes ${quoted(step.token)}, q = ${percent(draft?.draft_prob)}, in ${milliseconds(draft?.draft_time_ms)}.`;
    }
    case "pass": {
      const plain = plainMs === null ? "" : ` A pass for one token takes ${milliseconds(plainMs)}.`;
      return `The target reads ${plural(drafted.length, "drafted token")} in one pass of ${milliseconds(metrics?.verify_ms)}.${plain}`;
    }
    case "test":
      return testWords(step.token, drafted.filter(({ status }) => status === "discarded").length);
    case "extra":
      return step.token.status === "bonus"
        ? `All drafts are accepted. The same pass gives one token more, drawn from p: ${quoted(step.token)}.`
        : `In its place the target draws ${quoted(step.token)} from the residual: what it wants more than the drafter, where p is above q.`;
    case "keep": {
      const alone =
        plainMs === null
          ? ""
          : ` The target alone needs about ${milliseconds(plainMs * emitted.length)}, computed.`;
      return `The text keeps ${plural(emitted.length, "token")}. The round took ${milliseconds(metrics?.round_ms)}.${alone}`;
    }
  }
}

/** What the colours of the round's time stand for. */
export const PART_NAMES: Readonly<Record<Exclude<TimePart, "evidence">, string>> = {
  draft: "draft",
  verify: "pass of the target",
  network: "network",
  other: "other work, and the figures for this page",
};

/** The parts of the round's time, and the time of the target alone for the same tokens. */
export function timeWords({ metrics, emitted }: Round, plainMs: number | null): string {
  if (!metrics) return "";
  const parts = timeParts(metrics)
    .filter(({ ms }) => ms > 0)
    .map(({ part, ms }) => `${part} ${milliseconds(ms)}`);
  const alone =
    plainMs === null
      ? ""
      : ` ${plural(emitted.length, "token")} of the target alone: ${milliseconds(plainMs)}, computed.`;
  return `The round took ${milliseconds(metrics.round_ms)}, measured: ${parts.join(", ")}.${alone}`;
}
