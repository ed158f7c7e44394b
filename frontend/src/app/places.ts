// The places of the page, each with an address. Moving between them loads nothing again.
import { useSyncExternalStore } from "react";

export type Place = "live" | "learn" | "compare" | "runs" | "classroom" | "traffic";

/** Where the page is served. */
export interface Root {
  /** The folder of the page, as part of an address. */
  readonly path: string;
  /**
   * `server`: our server, which answers with the page at every place. `files`: any server of files, where each place is
   * a folder. `none`: the page is one file, and its address never changes.
   */
  readonly kind: "server" | "files" | "none";
}

/** mode: that of the build. script: the address of a script of the page; on a static site all are in one folder. */
export function rootOf(mode: string, script: string): Root {
  if (mode === "player") return { path: "", kind: "none" };
  if (mode === "site") return { path: new URL("..", script).pathname, kind: "files" };
  return { path: "/", kind: "server" };
}

export const ROOT: Root = rootOf(import.meta.env.MODE, import.meta.url);

const NAMES: Readonly<Record<Place, string>> = {
  live: "",
  learn: "learn",
  compare: "compare",
  runs: "runs",
  classroom: "classroom",
  traffic: "traffic",
};

/** The address of a place. A folder ends with a stroke, because not every server of files adds it. */
export const addressOf = (place: Place, { path, kind }: Root = ROOT): string =>
  `${path}${NAMES[place]}${kind === "files" && place !== "live" ? "/" : ""}`;

/** The part of an address that chooses what is shown. */
export type Address = Pick<Location, "pathname" | "search">;

/** Every address that is no other place's is that of the live page: it also shows one kept run. */
export function placeAt(address: Address, root: Root = ROOT): Place {
  if (root.kind === "none" || runAt(address, root) !== null) return "live";
  const path = address.pathname.replace(/(.)\/(index\.html)?$/, "$1");
  const places = Object.keys(NAMES) as Place[];
  return places.find((place) => root.path + NAMES[place] === path) ?? "live";
}

/** The id of the kept run that an address shows; null for every other address. */
export function runAt({ pathname, search }: Address, { path, kind }: Root = ROOT): string | null {
  if (kind === "none" || !pathname.startsWith(`${path}runs/`)) return null;
  if (kind === "files") return new URLSearchParams(search).get("run");
  const id = /^[^/]+(?=\/?$)/.exec(pathname.slice(`${path}runs/`.length))?.[0];
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

/** The address of a kept run, at a place in it. Servers of files answer only for files, so there its id is a parameter. */
export function runAddress(id: string, at: Partial<At> = {}, root: Root = ROOT): string {
  const query = new URLSearchParams(root.kind === "files" ? { run: id } : {});
  if (at.round) query.set("round", `${at.round}`);
  if (at.token) query.set("token", `${at.token}`);
  const text = query.toString();
  const own = root.kind === "files" ? "" : encodeURIComponent(id);
  return `${root.path}runs/${own}${text && `?${text}`}`;
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

export const usePlace = (): Place => useSyncExternalStore(subscribe, () => placeAt(location));

/** The id of the kept run in the address; null without one. */
export const useRunId = (): string | null => useSyncExternalStore(subscribe, () => runAt(location));

/** The part of the address after `#`; empty without one. */
export const useHash = (): string => useSyncExternalStore(subscribe, () => location.hash.slice(1));

export const goTo = (place: Place): void => goToAddress(addressOf(place));

export function goToAddress(address: string): void {
  if (ROOT.kind === "none") return;
  history.pushState(null, "", address);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
