// @vitest-environment node
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cycles, impurities, LAYERS, roomOf, type Sources, wrongImports } from "./testing/rooms";

const MOST_LINES = 400;
const FRONTEND = fileURLToPath(new URL("..", import.meta.url));

/** The text of all source files below a folder of the page's project. */
function read(folder: string): Sources {
  const paths = readdirSync(FRONTEND + folder, { recursive: true, encoding: "utf8" });
  const files = paths.map((path) => path.replaceAll("\\", "/")).filter((path) => /\.(tsx?|css)$/.test(path));
  return new Map(files.map((path) => [path, readFileSync(`${FRONTEND + folder}/${path}`, "utf8")]));
}

const SOURCES = read("src");
const withFiles = (files: Record<string, string>): Sources => new Map([...SOURCES, ...Object.entries(files)]);

describe("the rooms of the page", () => {
  it("are all there", () => {
    const found = new Set([...SOURCES.keys()].map(roomOf));
    expect(LAYERS.flat().filter((room) => !found.has(room))).toEqual([]);
  });

  it("import only from lower layers", () => expect(wrongImports(SOURCES)).toEqual([]));

  it("have no cycles", () => expect(cycles(SOURCES)).toEqual([]));

  it("are pure in run, theory and words", () => expect(impurities(SOURCES)).toEqual([]));

  it("have files of a size that can be read", () => {
    const files = [...SOURCES, ...read("tests")].filter(([path]) => path !== "protocol/generated.ts");
    const long = files.filter(([, text]) => text.split("\n").length > MOST_LINES);
    expect(long.map(([path]) => path)).toEqual([]);
  });
});

describe("the test of the rooms finds", () => {
  it.each([
    [
      "a higher room",
      { "run/a.ts": 'import { shown } from "../words/format";' },
      "run/a.ts imports words/format.ts",
    ],
    [
      "a neighbour",
      { "tree/a.ts": 'import type { A } from "../charts/axes";' },
      "tree/a.ts imports charts/axes.ts",
    ],
    ["a re-export", { "words/a.ts": 'export { x } from "../app/store";' }, "words/a.ts imports app/store.ts"],
    ["a late import", { "ui/a.ts": 'void import("../App");' }, "ui/a.ts imports App.tsx"],
    [
      "another view",
      { "views/learn/a.ts": 'import "../live/Header";' },
      "views/learn/a.ts imports views/live/Header.tsx",
    ],
    ["a style sheet", { "ui/a.tsx": 'import "../tree/tree.css";' }, "ui/a.tsx imports tree/tree.css"],
    ["a file without a room", { "helpers/a.ts": "" }, "helpers/a.ts is in no room of the table"],
    [
      "test support in the page",
      { "ui/a.ts": 'import { chain } from "../testing/runs";' },
      "ui/a.ts imports test support: testing/runs.ts",
    ],
    ["the same in a test, not a fault", { "ui/a.test.ts": 'import { chain } from "../testing/runs";' }, null],
  ])("%s", (_, files, fault) => {
    expect(wrongImports(withFiles(files))).toEqual(fault === null ? [] : [fault]);
  });

  it("a cycle", () => {
    const planted = withFiles({
      "run/a.ts": 'import { b } from "./b";',
      "run/b.ts": 'import { c } from "./c";',
      "run/c.ts": 'import type { a } from "./a";',
    });
    expect(cycles(planted)).toEqual(["run/a.ts → run/b.ts → run/c.ts → run/a.ts"]);
  });

  it.each([
    ["document.title", "document"],
    ["const f = (x: number) => x + window.innerWidth;", "window"],
    ['export const key = () => localStorage.getItem("a");', "localStorage"],
    ["const { href: place } = location; void place;", "location"],
    ["export const at = () => Date.now();", "Date.now"],
    ["export const at = () => new Date();", "the current date"],
    ["export const draw = () => Math.random();", "Math.random"],
    ["export const wait = (f: () => void) => setTimeout(f, 1);", "setTimeout"],
  ])("an impure line: %s", (line, name) => {
    expect(impurities(withFiles({ "words/a.ts": line }))).toEqual([`words/a.ts uses ${name}`]);
  });

  it("a package, and an impure file that a pure one imports", () => {
    const planted = { "run/a.ts": 'import { range } from "d3-array";\nimport "../protocol/api";' };
    expect(impurities(withFiles(planted))).toEqual([
      "run/a.ts imports the package d3-array",
      "protocol/api.ts uses fetch",
    ]);
  });

  it("nothing in what only looks impure", () => {
    const lines = [
      '// The document of a window.\nexport const words = "no window, no document";',
      "export const day = (iso: string) => new Date(iso).getDate();",
      "export const field = (at: { window: number }) => at.window;",
      "export const own = ({ location }: { location: string }) => location;",
      "export type Page = { readonly document: Document };",
    ];
    for (const line of lines) expect(impurities(withFiles({ "run/a.ts": line }))).toEqual([]);
  });
});
