import { expect, it } from "vitest";
import { ADDRESSES, goTo, placeAt } from "./places";

it("reads the place from the address", () => {
  expect(placeAt("/learn")).toBe("learn");
  expect(placeAt("/learn/")).toBe("learn");
  for (const other of ["/", "/index.html", "/learned", "/a/learn"]) expect(placeAt(other)).toBe("live");
  for (const [place, address] of Object.entries(ADDRESSES)) expect(placeAt(address)).toBe(place);
});

it("changes the address and informs the page", () => {
  let heard = 0;
  const count = () => {
    heard += 1;
  };
  window.addEventListener("popstate", count);
  goTo("learn");
  window.removeEventListener("popstate", count);
  expect(location.pathname).toBe("/learn");
  expect(heard).toBe(1);
});
