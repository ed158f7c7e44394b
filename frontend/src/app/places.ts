// The places of the page, each with an address. Moving between them loads nothing again.
import { useSyncExternalStore } from "react";

export type Place = "live" | "learn";

export const ADDRESSES: Readonly<Record<Place, string>> = { live: "/", learn: "/learn" };

/** Every address that is no other place's is that of the live page. */
export const placeAt = (pathname: string): Place => (/^\/learn\/?$/.test(pathname) ? "learn" : "live");

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener("hashchange", listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener("hashchange", listener);
  };
}

export const usePlace = (): Place => useSyncExternalStore(subscribe, () => placeAt(location.pathname));

/** The part of the address after `#`; empty without one. */
export const useHash = (): string => useSyncExternalStore(subscribe, () => location.hash.slice(1));

export function goTo(place: Place): void {
  history.pushState(null, "", ADDRESSES[place]);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
