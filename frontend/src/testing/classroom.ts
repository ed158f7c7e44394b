// A round of the classroom for tests.
import type { ClassroomView, ClassToken } from "../protocol/generated";

const token = (text: string): ClassToken => ({
  token: text,
  draft_prob: 0.5,
  status: null,
  target_prob: null,
  acceptance_prob: null,
  uniform: null,
});

export const VIEW: ClassroomView = {
  type: "classroom",
  phase: "betting",
  leads: false,
  presenter_here: true,
  prompt: "Count.",
  temperature: 0,
  drafter: "model",
  round: 1,
  rounds: 2,
  before: "one",
  tokens: [token(" two"), token(" <b>three</b>"), token(" five")],
  accepted: null,
  replacement: null,
  bets: 0,
  votes: null,
  visitors: 3,
  board: [],
  played: 0,
  always: 0,
  you: { name: "Ana", score: 0, rank: 1, bet: null, gained: null },
};

const STATUSES = ["accepted", "accepted", "rejected"] as const;

/** The same round, revealed: two are accepted, and the third is replaced. */
export const REVEALED: ClassroomView = {
  ...VIEW,
  phase: "revealed",
  tokens: VIEW.tokens.map((one, at) => ({
    ...one,
    status: STATUSES[at] ?? "discarded",
    target_prob: 0.1,
    acceptance_prob: at < 2 ? 1 : 0.2,
    uniform: 0.9,
  })),
  accepted: 2,
  replacement: " four",
  votes: [0, 0, 1, 1],
  board: [{ name: "<i>Ben</i>", score: 3 }],
  played: 3,
  always: 2,
  you: { name: "Ana", score: 2, rank: 2, bet: 3, gained: 2 },
};
