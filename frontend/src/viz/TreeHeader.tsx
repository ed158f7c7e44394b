// The tree's own header: what it is, what its signs mean, and its view.
import { ArrowDownToLine, CircleHelp, Maximize, Minus, Plus } from "lucide-react";
import { Popover } from "radix-ui";
import { memo, type ReactNode } from "react";
import { STATUS } from "../state/facts";
import type { Status } from "../state/model";
import { Explain } from "./Explain";
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

function Swatch({ status }: { status: Status }) {
  return (
    <svg className={`tt-swatch tt-node is-${status}`} viewBox="-7 -7 14 14" aria-hidden="true">
      <g className="tt-shape">
        <path d={glyph(status, 4.6)} fillOpacity={status === "pending" ? 0.15 : 0.75} />
      </g>
    </svg>
  );
}

const Legend = memo(function Legend({ remote }: { remote: boolean }) {
  return (
    <>
      {SHOWN.map((status) => (
        <Explain key={status} help={STATUS[status].help}>
          <Swatch status={status} />
          {status}
        </Explain>
      ))}
      {timesOf(remote).map(({ part, help }) => (
        <Explain key={part} help={help} className="tt-times">
          <span className="tt-dash" style={{ background: `var(--time-${part})` }} />
          {part}
        </Explain>
      ))}
    </>
  );
});

const Encoding = memo(function Encoding({ compared }: { compared: boolean }) {
  return (
    <>
      <Explain help="The larger a node, the less certain the model was there: entropy of the target's distribution in nats (of the draft's until it is verified). Where none is known, all have one size.">
        size = entropy
      </Explain>
      <span aria-hidden="true">·</span>
      {compared ? (
        <Explain help="This target tells no probabilities: it draws tokens itself, and a drafted token is kept if it equals that draw. So all kept nodes are filled alike.">
          kept = the target drew it too
        </Explain>
      ) : (
        <Explain help="The fuller a node, the more likely it was to be kept: min(1, p/q), p being the target's probability of the token and q the draft's.">
          opacity = acceptance probability
        </Explain>
      )}
    </>
  );
});

interface Props {
  readonly rounds: number;
  readonly tokens: number;
  /** Whether the target is elsewhere, so that time goes to the network too. */
  readonly remote: boolean;
  /** Whether the target tells no probabilities, so that drafts are compared with its draws. */
  readonly compared: boolean;
  readonly follow: boolean;
  onFollow(follow: boolean): void;
  onZoom(factor: number): void;
  onFit(): void;
}

export function TreeHeader(props: Props) {
  const { rounds, tokens, remote, compared, follow, onFollow, onZoom, onFit } = props;
  const plural = (count: number, word: string) => `${count} ${word}${count === 1 ? "" : "s"}`;
  return (
    <header className="tt-header">
      <h2>Token tree</h2>
      <p className="tt-count">
        {rounds > 0 && (
          <>
            <span>{plural(rounds, "round")}</span> <span>· {plural(tokens, "token")}</span>
          </>
        )}
      </p>
      <div className="tt-tools">
        <Tool label="Zoom out" onClick={() => onZoom(1 / 1.25)}>
          <Minus />
        </Tool>
        <Tool label="Zoom in" onClick={() => onZoom(1.25)}>
          <Plus />
        </Tool>
        <Tool label="Fit the whole run" onClick={onFit}>
          <Maximize />
        </Tool>
        <Tool label="Follow the newest round" pressed={follow} onClick={() => onFollow(!follow)}>
          <ArrowDownToLine />
        </Tool>
        <LegendPopover remote={remote} compared={compared} />
      </div>
      <div className="tt-legend">
        <Legend remote={remote} />
      </div>
      <div className="tt-encoding">
        <Encoding compared={compared} />
      </div>
    </header>
  );
}

const LegendPopover = memo(function LegendPopover({ remote, compared }: Pick<Props, "remote" | "compared">) {
  return (
    <Popover.Root>
      <Popover.Trigger className="tt-tool tt-key" aria-label="Legend">
        <CircleHelp />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          className="explain-body tt-pop"
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
                <dd>{STATUS[status].help}</dd>
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
          <p>
            Size = entropy, in nats.{" "}
            {compared
              ? "The target tells no probabilities: what it drew too is kept."
              : "Opacity = acceptance probability."}
          </p>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
});

interface ToolProps {
  readonly label: string;
  readonly pressed?: boolean;
  readonly children: ReactNode;
  onClick(): void;
}

function Tool({ label, pressed, children, onClick }: ToolProps) {
  return (
    <button
      type="button"
      className="tt-tool"
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      onClick={onClick}
    >
      {children}
    </button>
  );
}
