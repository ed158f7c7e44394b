// @vitest-environment node
import { expect, it } from "vitest";
import { deeper } from "./sitePages";

it("names the same files from one folder deeper", () => {
  const html =
    '<link href="./assets/a.css"><script src="./assets/a.js"></script><a href="https://a.org/./b">';
  expect(deeper(html)).toBe(
    '<link href="../assets/a.css"><script src="../assets/a.js"></script><a href="https://a.org/./b">',
  );
});

it("refuses a page with absolute addresses, which could be served in one place only", () => {
  expect(() => deeper('<script src="/assets/a.js"></script>')).toThrow("no file of its folder");
});
