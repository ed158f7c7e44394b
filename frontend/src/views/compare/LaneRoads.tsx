// The road not taken, from any token that the target rejected in a lane of the race.
import { useState } from "react";
import { RoadNotTaken } from "../../controls/RoadNotTaken";
import { rejectedTokens } from "../../run/alone";
import type { Token } from "../../run/model";
import type { Lane } from "../../run/race";
import { ROAD_TITLE, ROADS_LEAD } from "../../words/alone";
import { plural, shownInText, spoken } from "../../words/format";
import { laneName } from "../../words/race";

const MOST_SHOWN = 24;

interface Choice {
  readonly lane: Lane;
  readonly token: Token;
}

export function LaneRoads({ lanes }: { lanes: readonly Lane[] }) {
  const [choice, setChoice] = useState<Choice | null>(null);
  const rejecting = lanes
    .map((lane, at) => ({ lane, number: at + 1, tokens: rejectedTokens(lane.run) }))
    // Only the server's own target is loaded after the race.
    .filter(({ lane, tokens }) => tokens.length > 0 && lane.settings.target === undefined);
  if (rejecting.length === 0) return null;
  const shown = choice !== null && lanes.includes(choice.lane) ? choice : null;
  return (
    <section aria-labelledby="roads" className="lane-roads">
      <h2 id="roads">{ROAD_TITLE}</h2>
      <p className="race-note">{ROADS_LEAD}</p>
      {rejecting.map(({ lane, number, tokens }) => (
        <div key={number} className="lane-roads-row">
          <h3>
            <span className="lane-number">{number}</span> {laneName(lane.settings)}
          </h3>
          <ul aria-label={`Rejected tokens of lane ${number}`}>
            {tokens.slice(0, MOST_SHOWN).map((token) => (
              <li key={token.key}>
                <button
                  type="button"
                  className="road-token"
                  aria-label={`${spoken(token.label)}, round ${token.round + 1}`}
                  aria-pressed={shown?.lane === lane && shown.token.key === token.key}
                  onClick={() => setChoice({ lane, token })}
                >
                  {shownInText(token.label)}
                </button>
              </li>
            ))}
          </ul>
          {tokens.length > MOST_SHOWN && (
            <p className="race-note">and {plural(tokens.length - MOST_SHOWN, "more token")}</p>
          )}
        </div>
      ))}
      {shown && (
        <RoadNotTaken
          key={`${lanes.indexOf(shown.lane)} ${shown.token.key}`}
          run={shown.lane.run}
          token={shown.token}
        />
      )}
    </section>
  );
}
