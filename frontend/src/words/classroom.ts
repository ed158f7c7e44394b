// Words of the classroom: what is asked, what a bet means, and what came out.
import type { ClassroomView, ClassToken, Visitor } from "../protocol/generated";
import { fixed, percent, plural, shownInText } from "./format";

export const CLASSROOM_LEAD =
  "A small draft model guesses the next words of an answer. A large target model then accepts the guesses one after the other, and stops at the first one that it does not want. Bet how far it goes.";
export const NOTHING_STORED =
  "Nobody needs an account. The server stores nothing: names and scores are gone when the classroom closes.";
export const CLOSED_WORDS =
  "No classroom is open yet. This page goes on by itself when the presenter opens one.";
export const DECODED_NOTE =
  "The server has decoded this answer already, with the real models. Nobody has seen the decisions, not even the presenter.";
export const NO_SERVER_WORDS =
  "The classroom needs a server with models. Start SpeculatoViz, and open its address followed by /classroom.";

const LOOPBACK = /^(localhost|127\.|\[::1\]|::1)/;

/** How visitors reach the page, or why they cannot. */
export function linkWords(hostname: string): string {
  if (LOOPBACK.test(hostname))
    return "Only this machine reaches this server. For visitors start it with `--host 0.0.0.0` and a key (`speculatoviz keys add class`), and open its address here.";
  return "Visitors open this link, and type the server's key once.";
}

/** What the class waits for, or what it is asked. */
export function phaseWords(view: ClassroomView): string {
  switch (view.phase) {
    case "closed":
      return CLOSED_WORDS;
    case "waiting":
      return view.leads
        ? "Choose a prompt, and let the models decode an answer."
        : "Wait for the first answer.";
    case "preparing":
      return "The models decode an answer…";
    case "betting":
      return view.leads
        ? `${plural(view.bets, "bet")} of ${plural(view.visitors, "visitor")}.`
        : "Where does the target stop? Choose the token that it rejects first, or bet that it accepts all.";
    case "revealed":
      return outcomeWords(view);
    case "ended":
      return view.leads
        ? "The answer is over. Choose another prompt, or close the classroom."
        : "The answer is over.";
  }
}

function outcomeWords({ accepted, tokens, replacement }: ClassroomView): string {
  const count = accepted ?? 0;
  const next = replacement === null ? "" : `“${shownInText(replacement)}”`;
  if (count === tokens.length) {
    const all = tokens.length === 1 ? "The drafted token is accepted" : `All ${tokens.length} are accepted`;
    return next ? `${all}, and the target adds ${next}.` : `${all}.`;
  }
  const rejected = `“${shownInText(tokens[count]?.token ?? "")}”`;
  const before = count === 0 ? "" : `${count} accepted. `;
  return next
    ? `${before}The target rejects ${rejected} and writes ${next} instead.`
    : `${before}The target rejects ${rejected}.`;
}

/** Why the first rejected token was rejected, or that none was. */
export function reasonWords({ accepted, tokens, temperature }: ClassroomView): string {
  const token = tokens[accepted ?? 0];
  if (temperature === 0)
    return token
      ? "At temperature 0 the target takes its most probable token. Another one was more probable."
      : "At temperature 0 a draft is accepted if it is the target's most probable token.";
  if (!token || token.acceptance_prob === null)
    return "A draft is accepted with probability min(1, p ÷ q): always, where the target finds it at least as likely as the draft model does.";
  return `It had a chance of ${percent(token.acceptance_prob)}: p ÷ q. The drawn number was ${fixed(token.uniform, 3)}, which is not below that.`;
}

/** "2 of 3 decisions right" of the revealed round. */
export function gainedWords({ bet, gained }: Visitor, tested: number): string {
  if (bet === null || gained === null) return "You did not bet on this round.";
  return `You called ${gained} of ${plural(tested, "decision")} right.`;
}

export const standingWords = ({ score, rank }: Visitor, { played }: ClassroomView): string =>
  `${plural(score, "point")} of ${played}, place ${rank}`;

/** What the two models give a drafted token; the target's part once it is revealed. */
export function likelyWords({ draft_prob, target_prob, status }: ClassToken): string {
  const draft = `draft ${percent(draft_prob)}`;
  if (status === null || target_prob === null) return draft;
  return `${draft}, target ${percent(target_prob)}`;
}

export const STATUS_WORDS: Readonly<Record<NonNullable<ClassToken["status"]>, string>> = {
  accepted: "accepted",
  rejected: "rejected",
  discarded: "not tested",
};

/** A bet on so many accepted tokens. */
export const betName = (count: number, { tokens }: ClassroomView): string =>
  count === tokens.length ? "all accepted" : `stops at “${shownInText(tokens[count]?.token ?? "")}”`;

/** The decisions of a round: the accepted tokens and the first rejected one. */
export const testedCount = ({ accepted, tokens }: ClassroomView): number =>
  Math.min((accepted ?? 0) + 1, tokens.length);
