// The drafts of the shadow drafters and their scores. Hidden without shadow drafters.
import { memo } from "react";
import type { AppState } from "../app/state";
import { useApp } from "../app/useStore";
import type { Shadow, ShadowGuess } from "../protocol/generated";
import { currentSettings, draftersOf } from "../run/selectors";
import { FigureMenu } from "../ui/FigureMenu";
import { HelpTooltip } from "../ui/HelpTooltip";
import { SourceBadge } from "../ui/SourceMark";
import { fixed, milliseconds, percent } from "../words/format";
import { elide, visible } from "../words/label";
import { sourceOf } from "../words/sources";
import { type ShadowRow, shadowNote, shadowRows } from "./shadow";
import "./shadow.css";

const HELP =
  "All drafters draft from the same prefix, round by round. The score of a draft is the number of the following tokens that its best path matches, counted from the first.";

/** A component of its own, so that a new score does not render the charts again. */
export function ShadowPanel() {
  const shadow = useApp((state) => state.play?.shown.shadow ?? null);
  const temperature = useApp((state) => settingsOf(state)?.temperature ?? 0);
  const used = useApp(({ play }) => (play ? draftersOf(play.shown) : []).join());
  const usedMs = useApp((state) => state.play?.shown.latest?.avg_draft_latency_ms ?? null);
  if (!shadow) return null;
  return (
    <Shadows
      shadow={shadow}
      temperature={temperature}
      used={used === "" ? [] : used.split(",")}
      usedMs={usedMs}
    />
  );
}

const settingsOf = ({ play }: AppState) => play && currentSettings(play.shown);

interface Props {
  readonly shadow: Shadow;
  readonly temperature: number;
  /** The drafters that the run may use; empty if the target decodes alone. */
  readonly used: readonly string[];
  /** The mean draft time of the run. */
  readonly usedMs: number | null;
}

export const Shadows = memo(function Shadows({ shadow, temperature, used, usedMs }: Props) {
  return (
    <section className="sh" aria-label="Shadow drafters" data-figure>
      <header className="figure-head">
        <h3>
          <HelpTooltip help={HELP}>Shadow drafters</HelpTooltip>
        </h3>
        <FigureMenu title="Shadow drafters" />
      </header>
      <p className="sh-note">{shadowNote(temperature)}</p>
      <Scores rows={shadowRows(shadow, used, usedMs)} />
      <h4 className="sh-head">Drafts of round {shadow.round + 1}</h4>
      <ul className="sh-drafts">
        {shadow.guesses.map((guess) => (
          <Draft key={guess.drafter} guess={guess} />
        ))}
      </ul>
    </section>
  );
});

const COLUMNS = [
  {
    name: "Matched",
    help: "Mean number of the following tokens that its draft matched, counted from the first.",
  },
  {
    name: "Best",
    help: "Share of the rounds in which no other draft matched more. Several drafters can share a round.",
  },
  {
    name: "Draft time",
    help: "Mean time of a draft. For the drafter in use it is measured in the run; the time of a shadow drafter is not part of the run.",
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
  "The best draft of every round: the score of a perfect choice among these drafters, or of one tree with all their drafts.";

function Name({ row }: { row: ShadowRow }) {
  if (row.kind === "oracle") return <HelpTooltip help={ORACLE_HELP}>oracle</HelpTooltip>;
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

function Draft({ guess: { drafter, tokens, matched, drafted } }: { guess: ShadowGuess }) {
  const inBranches = drafted - tokens.length;
  return (
    <li>
      <SourceBadge source={drafter} />
      <span className="sr-only">
        {sourceOf(drafter).title}: matched {matched} of {tokens.length}.
      </span>
      {tokens.length === 0 && <i>no draft</i>}
      {tokens.map((token, at) => (
        <code
          // biome-ignore lint/suspicious/noArrayIndexKey: a token is its position in the draft
          key={at}
          className={at < matched ? "is-matched" : at === matched ? "is-missed" : undefined}
          title={visible(token)}
        >
          {elide(visible(token), LONGEST)}
        </code>
      ))}
      {inBranches > 0 && <small>+ {inBranches} in branches</small>}
    </li>
  );
}
