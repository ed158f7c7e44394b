// The tour of a first visit: the recording stops four times in its first round that drafts.
import type { ServerMessage } from "../protocol/generated";
import type { Run } from "./model";

export const STOPS = ["drafted", "checked", "replaced", "counted"] as const;
export type Stop = (typeof STOPS)[number];

/** A list of events that can be searched. */
interface Events {
  findIndex(test: (event: ServerMessage, at: number) => boolean): number;
}

/** The number of events to show at each stop; null if the recording has no round that drafts. */
export function tourStops(events: Events): Readonly<Record<Stop, number>> | null {
  const first = events.findIndex((event) => event.type === "draft_token");
  const verdict = events.findIndex((event, at) => at > first && event.type === "verify_result");
  const end = events.findIndex((event, at) => at > verdict && event.type === "metrics");
  if (first < 0 || verdict < 0 || end < 0) return null;
  return { drafted: verdict, checked: verdict + 1, replaced: end, counted: end + 1 };
}

/** What the tour's round was like, for its captions. */
export interface TourRound {
  readonly drafted: number;
  readonly emitted: number;
  readonly replaced: boolean;
}

export function tourRound({ rounds }: Run): TourRound | null {
  const round = rounds.find(({ drafted }) => drafted.length > 0);
  if (!round) return null;
  const { drafted, emitted } = round;
  return {
    drafted: drafted.length,
    emitted: emitted.length,
    replaced: emitted.at(-1)?.status === "resampled",
  };
}
