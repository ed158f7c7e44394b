// The links between the places of the page.
import type { MouseEvent } from "react";
import { ADDRESSES, goTo, type Place, usePlace, useRunId } from "../app/places";
import "./places.css";

const NAMES: readonly (readonly [Place, string])[] = [
  ["live", "Live"],
  ["learn", "Learn"],
  ["compare", "Compare"],
  ["runs", "Runs"],
];

/** A click with a key or another button opens a tab, as for every link. */
const isPlain = (event: MouseEvent): boolean =>
  event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;

export function Places() {
  const here = usePlace();
  // A kept run belongs to the runs, though the live page shows it.
  const isRun = useRunId() !== null;
  const current = isRun ? "runs" : here;
  return (
    <nav aria-label="Places" className="places">
      {NAMES.map(([place, name]) => (
        <a
          key={place}
          href={ADDRESSES[place]}
          aria-current={place === current ? "page" : undefined}
          onClick={(event) => {
            if (!isPlain(event)) return;
            event.preventDefault();
            if (place !== current || isRun) goTo(place);
          }}
        >
          {name}
        </a>
      ))}
    </nav>
  );
}
