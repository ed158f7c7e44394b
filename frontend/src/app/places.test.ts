import { expect, it } from "vitest";
import {
  addressOf,
  goTo,
  goToAddress,
  type Place,
  placeAt,
  placeInRun,
  rootOf,
  runAddress,
  runAt,
} from "./places";

const PLACES: readonly Place[] = ["live", "learn", "compare", "runs", "classroom"];
const SITE = rootOf("site", "https://a.org/some/folder/assets/index-1.js");
const FILE = rootOf("player", "file:///home/me/runs/one.html");
const at = (pathname: string) => ({ pathname, search: "" });
const read = (address: string) => new URL(address, "http://here");

it("reads the place from the address", () => {
  expect(placeAt(at("/learn"))).toBe("learn");
  expect(placeAt(at("/learn/"))).toBe("learn");
  expect(placeAt(at("/compare"))).toBe("compare");
  expect(placeAt(at("/runs/"))).toBe("runs");
  for (const other of ["/", "/index.html", "/learned", "/a/learn", "/compare//", "/runs/abcd"]) {
    expect(placeAt(at(other))).toBe("live");
  }
  for (const place of PLACES) expect(placeAt(read(addressOf(place)))).toBe(place);
});

it("has a folder for each place of a static site, wherever that is served", () => {
  expect(SITE).toEqual({ path: "/some/folder/", kind: "files" });
  expect(PLACES.map((place) => addressOf(place, SITE))).toEqual([
    "/some/folder/",
    "/some/folder/learn/",
    "/some/folder/compare/",
    "/some/folder/runs/",
    "/some/folder/classroom/",
  ]);
  for (const place of PLACES) {
    expect(placeAt(read(addressOf(place, SITE)), SITE)).toBe(place);
    expect(placeAt(read(`${addressOf(place, SITE)}index.html`), SITE)).toBe(place);
  }
  const address = read(runAddress("a b/c?", { round: 2 }, SITE));
  expect(address.pathname).toBe("/some/folder/runs/");
  expect(runAt(address, SITE)).toBe("a b/c?");
  expect(placeAt(address, SITE)).toBe("live");
  expect(placeInRun(address.search)).toEqual({ round: 2, token: null });
  expect(runAt(at("/some/folder/runs/abcd"), SITE)).toBeNull();
});

it("has the live page only where it is one file, whatever its address is", () => {
  for (const path of ["/home/me/runs/one.html", "/learn", "/runs/one.html", "/runs/"]) {
    expect(placeAt(at(path), FILE)).toBe("live");
    expect(runAt(at(path), FILE)).toBeNull();
  }
});

it("changes the address and informs the page", () => {
  let heard = 0;
  const count = () => {
    heard += 1;
  };
  window.addEventListener("popstate", count);
  goTo("learn");
  expect(location.pathname).toBe("/learn");
  goToAddress(runAddress("abcd", { round: 3 }));
  window.removeEventListener("popstate", count);
  expect(`${location.pathname}${location.search}`).toBe("/runs/abcd?round=3");
  expect(heard).toBe(2);
});

it("names a run and a place in it, and reads both back", () => {
  for (const id of ["abcd", "cmpl-12ab-0", "a b/c?d#e%"]) {
    const address = read(runAddress(id, { round: 19, token: 3 }));
    expect(runAt(address)).toBe(id);
    expect(placeInRun(address.search)).toEqual({ round: 19, token: 3 });
  }
  expect(runAddress("abcd")).toBe("/runs/abcd");
  expect(runAddress("abcd", { round: null, token: 2 })).toBe("/runs/abcd?token=2");
});

it("reads no run and no place from other addresses", () => {
  for (const path of ["/", "/runs", "/runs/", "/runs/a/b", "/learn", "/runs/%E0%A4%A"]) {
    expect(runAt(at(path))).toBeNull();
  }
  for (const search of ["", "?round=0", "?round=-1&token=x", "?round=1.5", "?round=99999999999"]) {
    expect(placeInRun(search)).toEqual({ round: null, token: null });
  }
});
