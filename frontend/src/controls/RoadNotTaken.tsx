// What the drafter alone writes after a rejected token, beside what the target wrote there.
import { Square, Waypoints } from "lucide-react";
import { useEffect, useId, useRef, useState } from "react";
import { exactSeed } from "../app/seed";
import { hasServer, isBusy } from "../app/state";
import { useApp } from "../app/useStore";
import { writeAlone } from "../protocol/alone";
import { ServerError } from "../protocol/ask";
import type { AloneText } from "../protocol/generated";
import { aloneRequest, forkAt } from "../run/alone";
import type { Run, Token } from "../run/model";
import { ROAD_TITLE, roadLead, roadNote, roadObstacle } from "../words/alone";
import { shownInText } from "../words/format";
import { useObstacle } from "./useObstacle";
import "./road.css";

const MOST_TOKENS = 48;
const CONTEXT_LETTERS = 80;

type Answer =
  | { readonly kind: "none" | "asked" }
  | { readonly kind: "written"; readonly text: AloneText }
  | { readonly kind: "refused"; readonly message: string; readonly hint: string };

const NONE: Answer = { kind: "none" };

/** Asks the server; leaving the page or the token ends its work. */
function useAlone(run: Run, token: Token) {
  const [answer, setAnswer] = useState<Answer>(NONE);
  const asked = useRef<AbortController | null>(null);
  useEffect(() => () => asked.current?.abort(), []);
  const ask = async () => {
    const request = aloneRequest(run, token, exactSeed(run.started?.seed ?? 0), MOST_TOKENS);
    if (!request) return;
    const own = new AbortController();
    asked.current = own;
    setAnswer({ kind: "asked" });
    try {
      setAnswer({ kind: "written", text: await writeAlone(request, own.signal) });
    } catch (error) {
      if (own.signal.aborted) return;
      const known = error instanceof ServerError;
      const message = known ? error.message : "The answer of the server cannot be read.";
      setAnswer({ kind: "refused", message, hint: known ? error.hint : "Try again." });
    }
  };
  const stop = () => {
    asked.current?.abort();
    setAnswer(NONE);
  };
  return { answer, ask, stop };
}

/** For a drafted token that failed its test; give it the token's key as its own. */
export function RoadNotTaken({ run, token }: { run: Run; token: Token }) {
  const id = useId();
  const { answer, ask, stop } = useAlone(run, token);
  const health = useApp((state) => state.health);
  const server = useApp(hasServer);
  const busy = useApp(isBusy);
  const obstacle = roadObstacle(run, health, server, busy, useObstacle());
  const asked = answer.kind === "asked";
  return (
    <section aria-labelledby={id} className="road">
      <h3 id={id}>{ROAD_TITLE}</h3>
      <p className="road-note">{roadLead(token)}</p>
      {answer.kind !== "written" && (
        <button
          type="button"
          className="road-button"
          aria-disabled={!asked && obstacle !== null}
          onClick={() => (asked ? stop() : obstacle === null && void ask())}
        >
          {asked ? <Square size={12} fill="currentColor" aria-hidden /> : <Waypoints size={14} aria-hidden />}
          {asked ? "Stop" : "Write on with the draft alone"}
        </button>
      )}
      {!asked && answer.kind !== "written" && obstacle !== null && <p className="road-note">{obstacle}</p>}
      <div role="status">
        {asked && <p className="road-note">The drafter writes…</p>}
        {answer.kind === "written" && <Roads run={run} token={token} text={answer.text} />}
      </div>
      {answer.kind === "refused" && (
        <p role="alert" className="road-note">
          <b>{answer.message}</b> {answer.hint}
        </p>
      )}
    </section>
  );
}

function Roads({ run, token, text }: { run: Run; token: Token; text: AloneText }) {
  const { before, taken } = forkAt(run, token);
  const context = before.length > CONTEXT_LETTERS ? `…${before.slice(-CONTEXT_LETTERS)}` : before;
  const target = taken.slice(0, text.tokens.length + 1).map((one) => one.text);
  return (
    <>
      <dl className="road-texts">
        <div>
          <dt>The target wrote</dt>
          <dd>
            <span className="road-before">{context}</span>
            {target.join("")}
            {taken.length > target.length && "…"}
          </dd>
        </div>
        <div className="is-alone">
          <dt>The draft alone, not part of the run</dt>
          <dd>
            <span className="road-before">{context}</span>
            <mark>{shownInText(token.label)}</mark>
            {text.text}
            {!text.ended && "…"}
          </dd>
        </div>
      </dl>
      <p className="road-note">{roadNote(text, token)}</p>
    </>
  );
}
