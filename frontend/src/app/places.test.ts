import { expect, it } from "vitest";
import { ADDRESSES, goTo, goToAddress, placeAt, placeInRun, runAddress, runAt } from "./places";

it("reads the place from the address", () => {
  expect(placeAt("/learn")).toBe("learn");
  expect(placeAt("/learn/")).toBe("learn");
  expect(placeAt("/compare")).toBe("compare");
  expect(placeAt("/runs/")).toBe("runs");
  for (const other of ["/", "/index.html", "/learned", "/a/learn", "/compare//", "/runs/abcd"]) {
    expect(placeAt(other)).toBe("live");
  }
  for (const [place, address] of Object.entries(ADDRESSES)) expect(placeAt(address)).toBe(place);
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
    const { pathname, search } = new URL(runAddress(id, { round: 19, token: 3 }), "http://here");
    expect(runAt(pathname)).toBe(id);
    expect(placeInRun(search)).toEqual({ round: 19, token: 3 });
  }
  expect(runAddress("abcd")).toBe("/runs/abcd");
  expect(runAddress("abcd", { round: null, token: 2 })).toBe("/runs/abcd?token=2");
});

it("reads no run and no place from other addresses", () => {
  for (const path of ["/", "/runs", "/runs/", "/runs/a/b", "/learn", "/runs/%E0%A4%A"]) {
    expect(runAt(path)).toBeNull();
  }
  for (const search of ["", "?round=0", "?round=-1&token=x", "?round=1.5", "?round=99999999999"]) {
    expect(placeInRun(search)).toEqual({ round: null, token: null });
  }
});
