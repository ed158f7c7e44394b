// The legend of the tree: in its header if there is space, else in a popover.
import { CircleHelp } from "lucide-react";
import { Popover } from "radix-ui";
import { memo } from "react";
import type { RuleName, Status } from "../run/model";
import { HelpTooltip } from "../ui/HelpTooltip";
import { SourceBadge } from "../ui/SourceMark";
import { givenHelp, isGiven, marksSources, sourceOf } from "../words/sources";
import { statusHelp } from "../words/verdicts";
import { glyph } from "./glyph";
import { radiusFor, scaleAt } from "./scale";

const OF_DRAFTS: readonly Status[] = ["accepted", "rejected", "resampled", "bonus", "pending", "discarded"];

/** The statuses of the run. Squares are tokens of plain decoding, or of another server's answer. */
const shownOf = ({ plain, received }: Pick<LegendProps, "plain" | "received">): readonly Status[] => [
  ...OF_DRAFTS,
  ...(plain ? (["plain"] as const) : []),
  ...(received ? (["received"] as const) : []),
];

const TIMES = [
  { part: "draft", help: "The violet part of the bar above a round: time of the drafter." },
  {
    part: "verify",
    help: "The teal part of the bar above a round: time of the target's pass over the draft.",
  },
  {
    part: "network",
    help: "The pink part of the bar above a round: time on the way to a remote target and back.",
  },
] as const;

const timesOf = (remote: boolean) => TIMES.filter(({ part }) => remote || part !== "network");

const SIZE_HELP =
  "A larger node has a higher entropy of the target's distribution, in nats (of the draft's before the verdict). Nodes with unknown entropy have one size.";

/** The meaning of a node's fill under each rule. */
const FILL: Readonly<Record<RuleName, { words: string; help: string }>> = {
  token: {
    words: "opacity = acceptance probability",
    help: "The acceptance probability is min(1, p/q), p being the target's probability of the token and q the draft's.",
  },
  block: {
    words: "opacity = prefix acceptance probability",
    help: "The probability that the whole prefix up to this token is accepted, if no longer prefix was.",
  },
  match: {
    words: "opacity = match probability",
    help: "The probability that the target draws the same token.",
  },
  typical: {
    words: "filled = probable enough",
    help: "Typical acceptance accepts every token that is probable enough for the target. No random number decides, and the output distribution is not the target's.",
  },
};

const COMPARED = {
  words: "filled = the target drew the same token",
  help: "This target returns drawn tokens without probabilities. A drafted token is accepted if it equals the drawn one, so all accepted nodes have the same fill.",
};

const ENTROPIES = [0, 1, 5] as const;
const FULL_SIZE = scaleAt(1);

export interface LegendProps {
  /** Whether the target is remote, so that rounds have network time. */
  readonly remote: boolean;
  /** Whether drafts are compared with the target's draws, without probabilities. */
  readonly compared: boolean;
  readonly rule: RuleName;
  /** Whether rounds without a draft emitted tokens. */
  readonly plain: boolean;
  /** Whether the run is one of another server, whose tokens came without their rounds. */
  readonly received: boolean;
  /** The drafters of the run; the legend lists them where tokens are marked by them. */
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

export const Legend = memo(function Legend({ remote, rule, plain, received, sources }: LegendProps) {
  return (
    <>
      {shownOf({ plain, received }).map((status) => (
        <HelpTooltip key={status} help={statusHelp(status, rule)}>
          <Swatch status={status} />
          {status}
        </HelpTooltip>
      ))}
      {marksSources(sources) &&
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

/** Nodes of known entropy, as the tree draws them. */
function SizeScale() {
  return (
    <span className="tt-scale">
      {ENTROPIES.map((entropy) => (
        <span key={entropy}>
          <svg width={21} height={21} viewBox="-10.5 -10.5 21 21" aria-hidden="true">
            <circle r={radiusFor(entropy, FULL_SIZE)} />
          </svg>
          {entropy}
        </span>
      ))}
      nats
    </span>
  );
}

const MARKED = "The edge to the token has this colour, and the letter marks the first token of a branch.";

const sourceHelp = (source: string) =>
  isGiven(source) ? `${givenHelp(source)} ${MARKED}` : `Drafted by “${source}”. ${MARKED}`;

export const Encoding = memo(function Encoding({ compared, rule }: Pick<LegendProps, "compared" | "rule">) {
  const fill = fillOf({ compared, rule });
  return (
    <>
      <HelpTooltip help={SIZE_HELP}>size = entropy</HelpTooltip>
      <SizeScale />
      <span className="tt-fill">
        <span aria-hidden="true">·</span>
        <HelpTooltip help={fill.help}>{fill.words}</HelpTooltip>
      </span>
    </>
  );
});

export const LegendPopover = memo(function LegendPopover(props: LegendProps) {
  const { remote, compared, rule, sources } = props;
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
            {shownOf(props).map((status) => (
              <div key={status}>
                <dt>
                  <Swatch status={status} /> {status}
                </dt>
                <dd>{statusHelp(status, rule)}</dd>
              </div>
            ))}
            {marksSources(sources) &&
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
          <p className="tt-size">
            Size = entropy: <SizeScale />
          </p>
          <p>{fillOf({ compared, rule }).help}</p>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
});
