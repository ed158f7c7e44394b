// The scores, and what one gets who always bets that all are accepted.
import type { ClassroomView } from "../../protocol/generated";
import { standingWords } from "../../words/classroom";
import { plural } from "../../words/format";

export function Board({ view }: { view: ClassroomView }) {
  const { board, you, played, always, visitors } = view;
  return (
    <section aria-labelledby="scores" className="classroom-section">
      <h2 id="scores">Scores</h2>
      {you && (
        <p className="classroom-you">
          <bdi>{you.name}</bdi>
          {played > 0 && `: ${standingWords(you, view)}`}
        </p>
      )}
      {board.length > 0 && (
        <ol className="classroom-board">
          {board.map(({ name, score }) => (
            <li key={name}>
              <bdi>{name}</bdi> <span className="figures">{score}</span>
            </li>
          ))}
        </ol>
      )}
      <p className="classroom-note">
        {plural(visitors, "visitor")} here. One point for each decision that is called right
        {played > 0 && `: ${played} so far, of which a bet on “all accepted” in every round gets ${always}`}.
      </p>
    </section>
  );
}
