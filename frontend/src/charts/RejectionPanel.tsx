// Why tokens were rejected: the causes of a finished run, what would help, and examples that lead to their round.
import { useApp, useStore } from "../app/useStore";
import type { Autopsy, CauseShare, RejectedToken } from "../protocol/generated";
import { seekRound } from "../run/playback";
import { FigureMenu } from "../ui/FigureMenu";
import { HelpTooltip } from "../ui/HelpTooltip";
import { beforeOf, CAUSES, intervalOf, remedyOf, shareOf, totalsOf } from "../words/causes";
import { fixed } from "../words/format";
import { elide, visible } from "../words/label";
import "./rejections.css";

const HELP =
  "The probability that a tested token is rejected, split by cause and summed over the run. Rounds are resampled for the 90 % interval.";

/** A component of its own: it follows the whole run, and stays where it is while the playback moves. */
export function RejectionPanel({ onRound }: { onRound: () => void }) {
  const store = useStore();
  const found = useApp(({ play }) => {
    const over = play && (play.shown.done !== null || !play.playing);
    return over ? (play.full.done?.autopsy ?? null) : null;
  });
  if (!found) return null;
  const show = (example: RejectedToken) => {
    store.playback((play) => {
      const at = play.full.rounds.findIndex((round) => round.index === example.round);
      return at < 0 ? play : { ...seekRound(play, at + 1), playing: false };
    });
    store.select(`${example.round}:${example.node}`);
    onRound();
  };
  return <Rejections found={found} onShow={show} />;
}

interface Props {
  readonly found: Autopsy;
  readonly onShow: (example: RejectedToken) => void;
}

export function Rejections({ found, onShow }: Props) {
  return (
    <section className="rj" aria-label="Why tokens were rejected" data-figure>
      <header className="figure-head">
        <h3>
          <HelpTooltip help={HELP}>Why tokens were rejected</HelpTooltip>
        </h3>
        <FigureMenu title="Why tokens were rejected" />
      </header>
      <p className="rj-note">{totalsOf(found)}</p>
      {found.causes.length > 0 && (
        <ul className="rj-causes">
          {found.causes.map((cause) => (
            <li key={cause.cause}>
              <CauseRow cause={cause} onShow={onShow} />
            </li>
          ))}
        </ul>
      )}
      {found.missing.map((sentence) => (
        <p key={sentence} className="rj-note">
          {sentence}
        </p>
      ))}
    </section>
  );
}

function CauseRow({ cause, onShow }: { cause: CauseShare; onShow: Props["onShow"] }) {
  const words = CAUSES[cause.cause];
  const interval = intervalOf(cause);
  const width = `${100 * Math.min(1, Math.max(0, cause.share ?? 0))}%`;
  return (
    <details className="rj-cause">
      <summary>
        <span className="rj-title">{words.title}</span>
        <b>{shareOf(cause)}</b>
        <small>{interval}</small>
        <span className="rj-bar" aria-hidden="true">
          <span style={{ width }} />
        </span>
      </summary>
      <p className="rj-note">{words.help}</p>
      <p>
        {fixed(cause.rejections, 1)} of the rejected tokens, {fixed(cause.expected, 1)} to be expected.{" "}
        {remedyOf(cause)}
      </p>
      {cause.examples.length > 0 && (
        <ul className="rj-examples">
          {cause.examples.map((example) => (
            <li key={`${example.round}:${example.node}`}>
              <Example example={example} onShow={onShow} />
            </li>
          ))}
        </ul>
      )}
    </details>
  );
}

const TOKEN = 14;

function Example({ example, onShow }: { example: RejectedToken; onShow: Props["onShow"] }) {
  const { round, drafted, chosen } = example;
  return (
    <button type="button" className="rj-example" onClick={() => onShow(example)}>
      <span className="rj-round">
        <span className="sr-only">Round </span>
        {round + 1}
      </span>
      <code>
        <span className="rj-before">{beforeOf(example)}</span>
        <span className="sr-only">, drafted </span>
        <s>{elide(visible(drafted), TOKEN)}</s>
        {chosen !== null && (
          <>
            <span className="sr-only">, the text has </span>
            <ins>{elide(visible(chosen), TOKEN)}</ins>
          </>
        )}
        <span className="sr-only">. Show this round.</span>
      </code>
    </button>
  );
}
