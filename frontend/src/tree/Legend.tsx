// What the tree's signs mean: in its header where there is room, in a popover where there is not.
import { CircleHelp } from "lucide-react";
import { Popover } from "radix-ui";
import { memo } from "react";
import type { RuleName, Status } from "../run/model";
import { HelpTooltip } from "../ui/HelpTooltip";
import { SourceBadge } from "../ui/SourceMark";
import { sourceOf } from "../words/sources";
import { statusHelp } from "../words/verdicts";
import { glyph } from "./glyph";

const SHOWN: readonly Status[] = ["accepted", "rejected", "resampled", "bonus", "pending", "discarded"];

const TIMES = [
  { part: "draft", help: "The violet part of the bar over a round: time the drafter took." },
  {
    part: "verify",
    help: "The teal part of the bar over a round: time of the target's one pass over the whole draft.",
  },
  {
    part: "network",
    help: "The pink part of the bar over a round: time on the way to a target elsewhere and back.",
  },
] as const;

const timesOf = (remote: boolean) => TIMES.filter(({ part }) => remote || part !== "network");

const SIZE_HELP =
  "The larger a node, the less certain the model was there: entropy of the target's distribution in nats (of the draft's until it is verified). Where none is known, all have one size.";

/** What the fill of a node says under each rule: a chance, where chance decides. */
const FILL: Readonly<Record<RuleName, { words: string; help: string }>> = {
  token: {
    words: "opacity = acceptance probability",
    help: "The fuller a node, the more likely it was to be kept: min(1, p/q), p being the target's probability of the token and q the draft's.",
  },
  block: {
    words: "opacity = chance of its prefix",
    help: "The fuller a node, the more likely the whole prefix that ends there was to be kept, once no longer one was.",
  },
  match: {
    words: "opacity = chance of a match",
    help: "The fuller a node, the more likely the target was to draw the same token.",
  },
  typical: {
    words: "full = likely enough",
    help: "Typical acceptance keeps what is likely enough for the target: no chance decides, and the output is not the target's.",
  },
};

const COMPARED = {
  words: "kept = the target drew it too",
  help: "This target tells no probabilities: it draws tokens itself, and a drafted token is kept if it equals that draw. So all kept nodes are filled alike.",
};

export interface LegendProps {
  /** Whether the target is elsewhere, so that time goes to the network too. */
  readonly remote: boolean;
  /** Whether the target tells no probabilities, so that drafts are compared with its draws. */
  readonly compared: boolean;
  readonly rule: RuleName;
  /** Who drafts; told where there is more than one. */
  readonly sources: readonly string[];
}

const fillOf = ({ compared, rule }: Pick<LegendProps, "compared" | "rule">) =>
  compared ? COMPARED : FILL[rule];

function Swatch({ status }: { status: Status }) {
  return (
    <svg className={`tt-swatch tt-node is-${status}`} viewBox="-7 -7 14 14" aria-hidden="true">
      <g className="tt-shape">
        <path d={glyph(status, 4.6)} fillOpacity={status === "pending" ? 0.15 : 0.75} />
      </g>
    </svg>
  );
}

export const Legend = memo(function Legend({ remote, rule, sources }: LegendProps) {
  return (
    <>
      {SHOWN.map((status) => (
        <HelpTooltip key={status} help={statusHelp(status, rule)}>
          <Swatch status={status} />
          {status}
        </HelpTooltip>
      ))}
      {sources.length > 1 &&
        sources.map((source) => (
          <HelpTooltip key={source} help={sourceHelp(source)}>
            <SourceBadge source={source} />
            {sourceOf(source).title}
          </HelpTooltip>
        ))}
      {timesOf(remote).map(({ part, help }) => (
        <HelpTooltip key={part} help={help} className="tt-times">
          <span className="tt-dash" style={{ background: `var(--time-${part})` }} />
          {part}
        </HelpTooltip>
      ))}
    </>
  );
});

const sourceHelp = (source: string) =>
  `Drafted by “${source}”: the line to such a token has this colour, and its letter stands where a branch of it begins.`;

export const Encoding = memo(function Encoding({ compared, rule }: Pick<LegendProps, "compared" | "rule">) {
  const fill = fillOf({ compared, rule });
  return (
    <>
      <HelpTooltip help={SIZE_HELP}>size = entropy</HelpTooltip>
      <span aria-hidden="true">·</span>
      <HelpTooltip help={fill.help}>{fill.words}</HelpTooltip>
    </>
  );
});

export const LegendPopover = memo(function LegendPopover({ remote, compared, rule, sources }: LegendProps) {
  return (
    <Popover.Root>
      <Popover.Trigger className="tt-tool tt-key" aria-label="Legend">
        <CircleHelp />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          className="tooltip-body tt-pop"
          sideOffset={6}
          collisionPadding={8}
          aria-label="Legend"
        >
          <dl>
            {SHOWN.map((status) => (
              <div key={status}>
                <dt>
                  <Swatch status={status} /> {status}
                </dt>
                <dd>{statusHelp(status, rule)}</dd>
              </div>
            ))}
            {sources.length > 1 &&
              sources.map((source) => (
                <div key={source}>
                  <dt>
                    <SourceBadge source={source} /> {sourceOf(source).title}
                  </dt>
                  <dd>{sourceHelp(source)}</dd>
                </div>
              ))}
            {timesOf(remote).map(({ part, help }) => (
              <div key={part}>
                <dt>
                  <span className="tt-dash" style={{ background: `var(--time-${part})` }} /> {part}
                </dt>
                <dd>{help}</dd>
              </div>
            ))}
          </dl>
          <p>Size = entropy, in nats. {fillOf({ compared, rule }).help}</p>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
});
