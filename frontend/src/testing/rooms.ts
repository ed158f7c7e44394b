// Reads source files for the test of the rooms: what each imports, and which names it takes from its environment.
import { posix } from "node:path";
import { parseSync } from "vite";

/** Source text by path relative to `src`. */
export type Sources = ReadonlyMap<string, string>;

/** From lowest to highest. A file may import from its own room and from rooms of lower layers. */
export const LAYERS: readonly (readonly string[])[] = [
  ["styles"],
  ["protocol"],
  ["run", "theory"],
  ["words", "app"],
  ["ui"],
  ["charts", "controls", "tree"],
  ["views/live", "views/learn", "views/compare", "views/classroom", "views/runs", "views/traffic"],
  ["App"],
  ["main", "player"],
];

/** Rooms without a browser, a clock and packages. */
const PURE_ROOMS: ReadonlySet<string> = new Set(["run", "theory", "words"]);

/** What a pure room may take from the language; no clock, no random numbers, nothing of a browser. */
const PURE_GLOBALS: ReadonlySet<string> = new Set(
  "Array Boolean Date Error Infinity Intl JSON Map Math NaN Number Object Set String URL WeakMap undefined".split(
    " ",
  ),
);

export const isTest = (path: string): boolean => /\.test\.tsx?$/.test(path);
const isCode = (path: string): boolean => /\.tsx?$/.test(path);
const isTesting = (path: string): boolean => path.startsWith("testing/");

/** The room of a file. Files beside the folders are rooms of their own; the style sheets among them are one room. */
export function roomOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  if (!path.includes("/")) return first.endsWith(".css") ? "styles" : first.replace(/(\.test)?\.tsx?$/, "");
  return first === "views" ? `views/${second}` : first;
}

interface Import {
  readonly from: string;
  /** A path of `sources` for a relative import, else the name of a package. */
  readonly to: string;
  readonly isPackage: boolean;
}

const parsed = new Map<string, ReturnType<typeof parseSync>>();

/** Parses each text once, because a test that plants one file reads all the others again. */
function parse(path: string, text: string): ReturnType<typeof parseSync> {
  const key = `${path}\n${text}`;
  const tree = parsed.get(key) ?? parseSync(path, text);
  parsed.set(key, tree);
  return tree;
}

/** Every static and dynamic import and re-export, types included. */
export function importsOf(path: string, sources: Sources): Import[] {
  if (!isCode(path)) return [];
  const text = sources.get(path) ?? "";
  const { module } = parse(path, text);
  const requests = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap((entry) => entry.moduleRequest?.value ?? []),
    ),
    ...module.dynamicImports.map(({ moduleRequest: { start, end } }) => text.slice(start + 1, end - 1)),
  ];
  return [...new Set(requests)].map((request) => {
    if (!request.startsWith(".")) return { from: path, to: request, isPackage: true };
    const target = posix.join(posix.dirname(path), request);
    const found = ["", ".ts", ".tsx"].map((end) => target + end).find((name) => sources.has(name));
    return { from: path, to: found ?? target, isPackage: false };
  });
}

/** Imports against the table, files without a room, and test support outside tests; one sentence each. */
export function wrongImports(sources: Sources): string[] {
  const layerOf = (room: string) => LAYERS.findIndex((rooms) => rooms.includes(room));
  return [...sources.keys()].flatMap((path) => {
    const room = roomOf(path);
    const layer = layerOf(room);
    if (path === "rooms.test.ts" || isTesting(path)) return [];
    if (layer < 0) return [`${path} is in no room of the table`];
    return importsOf(path, sources)
      .filter(({ isPackage }) => !isPackage)
      .flatMap(({ to }) => {
        if (isTesting(to)) return isTest(path) ? [] : [`${path} imports test support: ${to}`];
        const allowed = roomOf(to) === room || (layerOf(roomOf(to)) >= 0 && layerOf(roomOf(to)) < layer);
        return allowed ? [] : [`${path} imports ${to}`];
      });
  });
}

/** Each cycle of imports, as the paths along it. */
export function cycles(sources: Sources): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, above: readonly string[]) => {
    const at = above.indexOf(path);
    if (at >= 0) found.push([...above.slice(at), path].join(" → "));
    if (at >= 0 || done.has(path)) return;
    for (const { to, isPackage } of importsOf(path, sources)) if (!isPackage) visit(to, [...above, path]);
    done.add(path);
  };
  for (const path of sources.keys()) visit(path, []);
  return found;
}

/** What keeps the pure rooms, and the files that they import, from being pure; one sentence each. */
export function impurities(sources: Sources): string[] {
  const seen = new Set<string>();
  const visit = (path: string): string[] => {
    if (seen.has(path) || !isCode(path)) return [];
    seen.add(path);
    const imports = importsOf(path, sources);
    return [
      ...imports.filter(({ isPackage }) => isPackage).map(({ to }) => `${path} imports the package ${to}`),
      ...foreignNames(path, sources.get(path) ?? "").map((name) => `${path} uses ${name}`),
      ...imports.filter(({ isPackage }) => !isPackage).flatMap(({ to }) => visit(to)),
    ];
  };
  const pure = [...sources.keys()].filter((path) => PURE_ROOMS.has(roomOf(path)) && !isTest(path));
  return pure.flatMap(visit);
}

interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as Node).type === "string";

/** Names that a file reads and does not declare, and calls that read a clock or draw a random number. */
function foreignNames(path: string, text: string): string[] {
  const declared = new Set<string>();
  const read = new Set<string>();
  walk(parse(path, text).program as unknown as Node, declared, read);
  return [...read].filter((name) => !declared.has(name) && !PURE_GLOBALS.has(name));
}

const DECLARING = /^(VariableDeclarator|Function|ArrowFunction|Class|Import\w*Specifier|CatchClause)/;
/** Nodes of TypeScript that contain a value; all others contain types only. */
const VALUE_IN_TYPE = /^TS(As|Satisfies|NonNull|Instantiation)Expression$/;

function walk(node: Node, declared: Set<string>, read: Set<string>): void {
  if (node.type.startsWith("TS") && !VALUE_IN_TYPE.test(node.type)) return;
  if (node.type === "Identifier") read.add(String(node.name));
  const impure = impureCall(node);
  if (impure) read.add(impure);
  if (DECLARING.test(node.type)) {
    for (const target of [node.id, node.local, node.param, ...listOf(node.params)]) declare(target, declared);
  }
  for (const [field, value] of Object.entries(node)) {
    const isName = !node.computed && (field === "property" || field === "key");
    if (isName || field === "imported" || field === "typeAnnotation") continue;
    for (const child of Array.isArray(value) ? value : [value])
      if (isNode(child)) walk(child, declared, read);
  }
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** Adds the names of a binding or a pattern. */
function declare(target: unknown, declared: Set<string>): void {
  if (!isNode(target)) return;
  if (target.type === "Identifier") declared.add(String(target.name));
  for (const part of [
    target.left,
    target.argument,
    target.value,
    ...listOf(target.elements),
    ...listOf(target.properties),
  ])
    declare(part, declared);
}

/** `Math.random`, `Date.now` and `new Date()`: the language's own random numbers and clocks. */
function impureCall(node: Node): string | null {
  if (node.type === "MemberExpression" && isNode(node.object) && isNode(node.property)) {
    const name = `${node.object.name}.${node.property.name}`;
    return name === "Math.random" || name === "Date.now" ? name : null;
  }
  const isBareDate =
    isNode(node.callee) && node.callee.name === "Date" && listOf(node.arguments).length === 0;
  return isBareDate ? "the current date" : null;
}
