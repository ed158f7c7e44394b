// The places of the page, each with an address. Moving between them loads nothing again.
import { useSyncExternalStore } from "react";

export type Place = "live" | "learn" | "compare" | "runs";

export const ADDRESSES: Readonly<Record<Place, string>> = {
  live: "/",
  learn: "/learn",
  compare: "/compare",
  runs: "/runs",
};

/** Every address that is no other place's is that of the live page: it also shows one kept run, at `/runs/ID`. */
export function placeAt(pathname: string): Place {
  const address = pathname.replace(/(.)\/$/, "$1");
  const places = Object.keys(ADDRESSES) as Place[];
  return places.find((place) => ADDRESSES[place] === address) ?? "live";
}

/** The id of the kept run that an address shows; null for every other address. */
export function runAt(pathname: string): string | null {
  const id = /^\/runs\/([^/]+)\/?$/.exec(pathname)?.[1];
  if (id === undefined) return null;
  try {
    return decodeURIComponent(id);
  } catch {
    return null;
  }
}

/** A place in a run: the round, and a token of that round, both from 1. */
export interface At {
  readonly round: number | null;
  readonly token: number | null;
}

/** The address of a kept run, at a place in it. */
export function runAddress(id: string, at: Partial<At> = {}): string {
  const query = new URLSearchParams();
  if (at.round) query.set("round", `${at.round}`);
  if (at.token) query.set("token", `${at.token}`);
  const text = query.toString();
  return `/runs/${encodeURIComponent(id)}${text && `?${text}`}`;
}

const counted = (text: string | null): number | null =>
  text !== null && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : null;

/** The place in a run that an address names. */
export function placeInRun(search: string): At {
  const query = new URLSearchParams(search);
  return { round: counted(query.get("round")), token: counted(query.get("token")) };
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener("hashchange", listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener("hashchange", listener);
  };
}

export const usePlace = (): Place => useSyncExternalStore(subscribe, () => placeAt(location.pathname));

/** The id of the kept run in the address; null without one. */
export const useRunId = (): string | null => useSyncExternalStore(subscribe, () => runAt(location.pathname));

/** The part of the address after `#`; empty without one. */
export const useHash = (): string => useSyncExternalStore(subscribe, () => location.hash.slice(1));

export const goTo = (place: Place): void => goToAddress(ADDRESSES[place]);

export function goToAddress(address: string): void {
  history.pushState(null, "", address);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
