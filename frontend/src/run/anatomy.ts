// Acceptance over several runs: the same counts as the server's, for runs that the browser keeps itself.
import type { AcceptanceAnatomy, TokenExample, VerifyResult } from "../protocol/generated";
import { tokenClass } from "./tokenClass";

type Group = AcceptanceAnatomy["groups"][number];
type Cell = Group["cells"][number];

/** One tested token of a run. `entropy`: of the target's distribution, in nats. */
export interface TestedToken {
  readonly example: TokenExample;
  readonly position: number;
  readonly entropy: number | null;
  readonly tokenClass: string;
}

export interface TestedRun {
  readonly prompt: string;
  readonly tokens: readonly TestedToken[];
}

const DEEPEST = 8;
const ENTROPY_ENDS = [0.1, 0.5, 1, 2, Number.POSITIVE_INFINITY];
const MOST_PROMPTS = 8;
const PROMPT_CHARACTERS = 60;
const OTHER_PROMPTS = "other prompts";
const BEFORE = 60;
const AFTER = 30;
const EXAMPLES = 4;
const EXAMPLES_OF_A_RUN = 2;
/** Of a 95 % interval. */
const Z = 1.959964;

type Emitted = VerifyResult & { readonly final_token: string };

/** A tested token and where the token of the text in its place begins. */
interface Placed {
  readonly event: VerifyResult & { readonly node: number };
  readonly at: number;
  readonly chosen: string;
}

/** Texts are cut between characters, not between the halves of one. */
const tail = (text: string, most: number) => [...text.slice(-2 * most)].slice(-most).join("");
const head = (text: string, most: number) => [...text.slice(0, 2 * most)].slice(0, most).join("");

/** The tested tokens of one run, from its verdicts in their order. */
export function tokensTested(run: string, verdicts: readonly VerifyResult[]): TestedToken[] {
  let text = "";
  const placed: Placed[] = [];
  for (const round of roundsOf(verdicts)) {
    const emitted = round
      .filter((event): event is Emitted => event.final_token !== null)
      .toSorted((a, b) => a.position - b.position);
    const places = new Map<number, { at: number; chosen: string }>();
    for (const { position, final_token } of emitted) {
      places.set(position, { at: text.length, chosen: final_token });
      text += final_token;
    }
    for (const event of round) {
      const place = places.get(event.position);
      const tested = event.status === "accepted" || event.status === "rejected";
      if (event.node !== null && tested && place)
        placed.push({ event: { ...event, node: event.node }, ...place });
    }
  }
  return placed.map(({ event, at, chosen }) => {
    const before = tail(text.slice(0, at), BEFORE);
    const accepted = event.status === "accepted";
    return {
      example: {
        run,
        round: event.round,
        node: event.node,
        before,
        token: event.draft_token ?? "",
        after: head(text.slice(at + chosen.length), AFTER),
        accepted,
        instead: accepted ? null : chosen,
      },
      position: event.position,
      entropy: event.entropy,
      tokenClass: tokenClass(chosen, before),
    };
  });
}

function roundsOf(verdicts: readonly VerifyResult[]): VerifyResult[][] {
  const rounds: VerifyResult[][] = [];
  for (const event of verdicts) {
    const last = rounds.at(-1);
    if (last?.[0]?.round === event.round) last.push(event);
    else rounds.push([event]);
  }
  return rounds;
}

/** The breakdown of the runs, the newest first. `leftOut`: runs that were not read. */
export function anatomyOf(runs: readonly TestedRun[], leftOut: number): AcceptanceAnatomy {
  const tokens = runs.flatMap((run) => run.tokens);
  const labels = promptLabels(runs);
  const ofPrompt = new Map<TestedToken, string>();
  for (const run of runs)
    for (const token of run.tokens) ofPrompt.set(token, labels.get(short(run.prompt)) ?? OTHER_PROMPTS);
  const group = (
    by: Group["by"],
    order: readonly string[],
    label: (token: TestedToken) => string | null,
  ) => ({
    by,
    cells: cellsOf(tokens, order, label),
  });
  return {
    kept: true,
    runs: runs.length,
    left_out: leftOut,
    tested: tokens.length,
    accepted: tokens.filter(({ example }) => example.accepted).length,
    groups: [
      group("position", POSITIONS, ({ position }) => positionLabel(position)),
      group("entropy", ENTROPIES, ({ entropy }) => entropyLabel(entropy)),
      group("token_class", TOKEN_CLASSES, (token) => token.tokenClass),
      group("prompt", [...new Set(labels.values())], (token) => ofPrompt.get(token) ?? null),
    ],
  };
}

const positionLabel = (position: number): string =>
  position + 1 < DEEPEST ? `${position + 1}` : `${DEEPEST} and more`;

function entropyLabel(entropy: number | null): string | null {
  if (entropy === null || Number.isNaN(entropy)) return null;
  const at = ENTROPY_ENDS.findIndex((end) => entropy < end || end === Number.POSITIVE_INFINITY);
  if (ENTROPY_ENDS[at] === Number.POSITIVE_INFINITY) return `${ENTROPY_ENDS[at - 1]} and more`;
  return at > 0 ? `${ENTROPY_ENDS[at - 1]} to ${ENTROPY_ENDS[at]}` : `below ${ENTROPY_ENDS[0]}`;
}

const POSITIONS = Array.from({ length: DEEPEST }, (_, position) => positionLabel(position));
const ENTROPIES = ENTROPY_ENDS.map((end) => entropyLabel(end - 0.01) ?? "");
const TOKEN_CLASSES = [
  ...[
    "word start",
    "word continuation",
    "number",
    "whitespace",
    "punctuation",
    "code symbol",
    "control",
    "other",
  ],
];

function cellsOf(
  tokens: readonly TestedToken[],
  order: readonly string[],
  label: (token: TestedToken) => string | null,
): Cell[] {
  return order.flatMap((one) => {
    const own = tokens.filter((token) => label(token) === one);
    return own.length > 0 ? [cellOf(one, own)] : [];
  });
}

function cellOf(label: string, tokens: readonly TestedToken[]): Cell {
  const accepted = tokens.filter(({ example }) => example.accepted).length;
  const [low, high] = wilson(accepted, tokens.length);
  const examples = [...examplesOf(tokens, true), ...examplesOf(tokens, false)];
  return { label, tested: tokens.length, accepted, low, high, examples };
}

/** Wilson's 95 % interval of a share. */
export function wilson(accepted: number, tested: number): [low: number, high: number] {
  if (tested === 0) return [0, 1];
  const share = accepted / tested;
  const middle = share + (Z * Z) / (2 * tested);
  const half = Z * Math.sqrt((share * (1 - share)) / tested + (Z * Z) / (4 * tested * tested));
  const scale = 1 + (Z * Z) / tested;
  return [Math.max(0, (middle - half) / scale), Math.min(1, (middle + half) / scale)];
}

/** The first tokens of this outcome, at most a few of each run. */
function examplesOf(tokens: readonly TestedToken[], accepted: boolean): TokenExample[] {
  const found: TokenExample[] = [];
  const ofRun = new Map<string, number>();
  for (const { example } of tokens) {
    const count = ofRun.get(example.run) ?? 0;
    if (example.accepted !== accepted || count >= EXAMPLES_OF_A_RUN) continue;
    ofRun.set(example.run, count + 1);
    found.push(example);
    if (found.length === EXAMPLES) break;
  }
  return found;
}

function short(prompt: string): string {
  const line = [...prompt.trim().replaceAll(/\s+/g, " ")];
  return line.length <= PROMPT_CHARACTERS
    ? line.join("")
    : `${line.slice(0, PROMPT_CHARACTERS - 1).join("")}…`;
}

/** The label of each short prompt: itself for those with the most tested tokens. */
function promptLabels(runs: readonly TestedRun[]): Map<string, string> {
  const tested = new Map<string, number>();
  for (const { prompt, tokens } of runs)
    tested.set(short(prompt), (tested.get(short(prompt)) ?? 0) + tokens.length);
  const most = [...tested].toSorted((a, b) => b[1] - a[1]).map(([prompt]) => prompt);
  const kept = new Set(most.length <= MOST_PROMPTS ? most : most.slice(0, MOST_PROMPTS - 1));
  return new Map(most.map((prompt) => [prompt, kept.has(prompt) ? prompt : OTHER_PROMPTS]));
}
