// One round: the text so far, the drafted tokens to bet on, and once they are revealed the decisions.
import { Check, CornerDownRight, Minus, X } from "lucide-react";
import type { ClassroomStore } from "../../app/classroom";
import type { ClassroomView, ClassToken } from "../../protocol/generated";
import {
  betName,
  DECODED_NOTE,
  gainedWords,
  likelyWords,
  phaseWords,
  reasonWords,
  STATUS_WORDS,
  testedCount,
} from "../../words/classroom";
import { percent, plural, shownInText } from "../../words/format";

interface Props {
  readonly room: ClassroomStore;
  readonly view: ClassroomView;
}

const CONTEXT_LETTERS = 400;

export function RoundBoard({ room, view }: Props) {
  const { before, prompt, round, rounds, phase, you } = view;
  const text = before.length > CONTEXT_LETTERS ? `…${before.slice(-CONTEXT_LETTERS)}` : before;
  return (
    <section aria-label={`Round ${round}`} className="classroom-section">
      <p className="classroom-note">
        Round {round} of {rounds}
      </p>
      <p className="classroom-prompt">{prompt}</p>
      <p className="classroom-text">{text || "(the answer begins here)"}</p>
      <p role="status" className="classroom-phase">
        {phaseWords(view)}
      </p>
      {phase === "revealed" ? <Decisions view={view} /> : <Bets room={room} view={view} />}
      {phase === "revealed" && (
        <>
          <p>{reasonWords(view)}</p>
          {you && <p className="classroom-gained">{gainedWords(you, testedCount(view))}</p>}
          <Votes view={view} />
        </>
      )}
      {phase === "betting" && <p className="classroom-note">{DECODED_NOTE}</p>}
    </section>
  );
}

/** The sign of a drafted token under a bet: accepted before it, rejected at it, not tested after it. */
function betSign(at: number, bet: number | null) {
  if (bet === null) return null;
  const Icon = at < bet ? Check : at === bet ? X : Minus;
  return <Icon size={16} aria-hidden />;
}

function Bets({ room, view }: Props) {
  const { tokens, you, leads } = view;
  const bet = you?.bet ?? null;
  const all = tokens.length;
  return (
    <fieldset className="classroom-bets" disabled={leads}>
      <legend className="sr-only">The first token that the target rejects</legend>
      {tokens.map((token, at) => (
        <button
          // biome-ignore lint/suspicious/noArrayIndexKey: a token is its place in the draft
          key={at}
          type="button"
          className="classroom-token"
          aria-pressed={leads ? undefined : bet === at}
          data-bet={bet === null ? undefined : at < bet ? "accepted" : at === bet ? "rejected" : "discarded"}
          onClick={() => room.bet(at)}
        >
          <bdi>{shownInText(token.token)}</bdi>
          <small>{likelyWords(token)}</small>
          {betSign(at, bet)}
        </button>
      ))}
      {!leads && (
        <button
          type="button"
          className="classroom-token is-all"
          aria-pressed={bet === all}
          onClick={() => room.bet(all)}
        >
          {all === 1 ? "accepted" : `all ${all} accepted`}
          {bet === all && <Check size={16} aria-hidden />}
        </button>
      )}
    </fieldset>
  );
}

const SIGNS: Readonly<Record<NonNullable<ClassToken["status"]>, typeof Check>> = {
  accepted: Check,
  rejected: X,
  discarded: Minus,
};

function Decisions({ view: { tokens, replacement, accepted } }: { view: ClassroomView }) {
  return (
    <ol className="classroom-bets" aria-label="Decisions">
      {tokens.map((token, at) => {
        const Sign = SIGNS[token.status ?? "discarded"];
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: a token is its place in the draft
          <li key={at} className="classroom-token" data-status={token.status}>
            <bdi>{shownInText(token.token)}</bdi>
            <small>{likelyWords(token)}</small>
            <span className="classroom-sign">
              <Sign size={16} aria-hidden /> {STATUS_WORDS[token.status ?? "discarded"]}
            </span>
          </li>
        );
      })}
      {replacement !== null && (
        <li className="classroom-token" data-status="target">
          <bdi>{shownInText(replacement)}</bdi>
          <small>{accepted === tokens.length ? "one more" : "instead"}</small>
          <span className="classroom-sign">
            <CornerDownRight size={16} aria-hidden /> by the target
          </span>
        </li>
      )}
    </ol>
  );
}

/** How the class bet; nothing if nobody did. */
function Votes({ view }: { view: ClassroomView }) {
  const votes = view.votes ?? [];
  const count = votes.reduce((sum, vote) => sum + vote, 0);
  if (count === 0) return null;
  return (
    <dl className="classroom-votes" aria-label={`${plural(count, "bet")} of the class`}>
      {votes.map((vote, bet) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a bet is its number
        <div key={bet} data-right={bet === view.accepted || undefined}>
          <dt>{betName(bet, view)}</dt>
          <dd>
            <i aria-hidden style={{ width: `${(50 * vote) / count}%` }} /> {vote} ({percent(vote / count)})
          </dd>
        </div>
      ))}
    </dl>
  );
}
