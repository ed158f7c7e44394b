// What further drafters would have guessed, beside the one in use. Hidden where none does.
import { memo } from "react";
import type { AppState } from "../app/state";
import { useApp } from "../app/useStore";
import type { Shadow, ShadowGuess } from "../protocol/generated";
import { currentSettings } from "../run/selectors";
import { HelpTooltip } from "../ui/HelpTooltip";
import { SourceBadge } from "../ui/SourceMark";
import { fixed, milliseconds, percent } from "../words/format";
import { elide, visible } from "../words/label";
import { sourceOf } from "../words/sources";
import { type ShadowRow, shadowNote, shadowRows } from "./shadow";
import "./shadow.css";

const HELP =
  "All drafters guess from the same prefix, round by round. A guess is scored once the tokens behind it have come: how many of them its best path said, one by one from the first.";

/** For itself, so that it does not draw the charts again with every score. */
export function ShadowPanel() {
  const shadow = useApp((state) => state.play?.shown.shadow ?? null);
  const temperature = useApp((state) => nowOf(state)?.temperature ?? 0);
  const used = useApp((state) => (nowOf(state)?.k === 0 ? null : (nowOf(state)?.drafter ?? null)));
  const ownMs = useApp((state) => state.play?.shown.latest?.avg_draft_latency_ms ?? null);
  if (!shadow) return null;
  return <Shadows shadow={shadow} temperature={temperature} used={used} ownMs={ownMs} />;
}

const nowOf = ({ play }: AppState) => play && currentSettings(play.shown);

interface Props {
  readonly shadow: Shadow;
  readonly temperature: number;
  /** Null where the target decodes alone. */
  readonly used: string | null;
  /** What a draft of the one in use took, in the run. */
  readonly ownMs: number | null;
}

export const Shadows = memo(function Shadows({ shadow, temperature, used, ownMs }: Props) {
  return (
    <section className="sh" aria-label="Shadow drafters">
      <h3>
        <HelpTooltip help={HELP}>Shadow drafters</HelpTooltip>
      </h3>
      <p className="sh-note">{shadowNote(temperature)}</p>
      <Scores rows={shadowRows(shadow, used, ownMs)} />
      <h4 className="sh-head">Guesses of round {shadow.round + 1}</h4>
      <ul className="sh-guesses">
        {shadow.guesses.map((guess) => (
          <Guess key={guess.drafter} guess={guess} />
        ))}
      </ul>
    </section>
  );
});

const COLUMNS = [
  { name: "Matched", help: "Mean number of the following tokens that its guess said, from the first on." },
  {
    name: "Best",
    help: "Share of the rounds in which no other guess came further; several can share a round.",
  },
  {
    name: "Draft time",
    help: "Mean time of a guess. Of the drafter in use it is that of the run; of a shadow it is no part of it.",
  },
] as const;

function Scores({ rows }: { rows: readonly ShadowRow[] }) {
  return (
    <table className="sh-scores" aria-label="Scores of the drafters">
      <thead>
        <tr>
          <th scope="col">Drafter</th>
          {COLUMNS.map(({ name, help }) => (
            <th key={name} scope="col">
              <HelpTooltip help={help}>{name}</HelpTooltip>
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.drafter} className={row.kind === "oracle" ? "is-oracle" : undefined}>
            <th scope="row">
              <Name row={row} />
            </th>
            <td>
              {fixed(row.matched)}
              <span className="sh-bar" aria-hidden="true">
                <span style={{ width: percent(row.share).replace(" ", ""), background: row.colour }} />
              </span>
            </td>
            <td>{row.kind === "oracle" ? "" : percent(row.best)}</td>
            <td>{row.kind === "oracle" ? "" : milliseconds(row.draftMs)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const ORACLE_HELP =
  "The best guess of every round, whoever made it: what a perfect choice among these drafters, or the tree of all their branches, would reach.";

function Name({ row }: { row: ShadowRow }) {
  if (row.kind === "oracle") return <HelpTooltip help={ORACLE_HELP}>oracle of the union</HelpTooltip>;
  return (
    <span className="sh-name">
      <SourceBadge source={row.drafter} />
      <span>
        {sourceOf(row.drafter).title} {row.kind === "used" && <em>in use</em>}
      </span>
    </span>
  );
}

const LONGEST = 12;

function Guess({ guess: { drafter, tokens, matched, drafted } }: { guess: ShadowGuess }) {
  const beside = drafted - tokens.length;
  return (
    <li>
      <SourceBadge source={drafter} />
      <span className="sr-only">
        {sourceOf(drafter).title}: matched {matched} of {tokens.length}.
      </span>
      {tokens.length === 0 && <i>no guess</i>}
      {tokens.map((token, at) => (
        <code
          // biome-ignore lint/suspicious/noArrayIndexKey: a token is its place in the guess
          key={at}
          className={at < matched ? "is-matched" : at === matched ? "is-missed" : undefined}
          title={visible(token)}
        >
          {elide(visible(token), LONGEST)}
        </code>
      ))}
      {beside > 0 && <small>+ {beside} in branches</small>}
    </li>
  );
}
