// The links between the places of the page.
import type { MouseEvent } from "react";
import type { Host } from "../app/environment";
import { addressOf, goTo, type Place, usePlace, useRunId } from "../app/places";
import { useApp } from "../app/useStore";
import "./places.css";

const NAMES: readonly (readonly [Place, string])[] = [
  ["live", "Live"],
  ["learn", "Learn"],
  ["compare", "Compare"],
  ["runs", "Runs"],
  ["traffic", "Traffic"],
];

const NEED_SERVER: ReadonlySet<Place> = new Set(["compare", "traffic"]);

/** The places that need no server; one file has no others. */
const shownAt = (host: Host): typeof NAMES =>
  host === "server" ? NAMES : NAMES.filter(([place]) => host === "site" && !NEED_SERVER.has(place));

/** A click with a key or another button opens a tab, as for every link. */
const isPlain = (event: MouseEvent): boolean =>
  event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;

export function Places() {
  const here = usePlace();
  // A kept run belongs to the runs, though the live page shows it.
  const isRun = useRunId() !== null;
  const current = isRun ? "runs" : here;
  const places = shownAt(useApp(({ host }) => host));
  if (places.length === 0) return null;
  return (
    <nav aria-label="Places" className="places">
      {places.map(([place, name]) => (
        <a
          key={place}
          href={addressOf(place)}
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
