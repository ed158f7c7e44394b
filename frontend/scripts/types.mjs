// Writes src/protocol/generated.ts from the server's schema. With --check, only tests whether it is up to date.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { compile } from "json-schema-to-typescript";

const python = process.env.PYTHON ?? "../.venv/bin/python";
const schema = JSON.parse(execFileSync(python, ["-m", "speculatoviz.server.schema"], { encoding: "utf8" }));

// Titles of fields would become one type alias each, so only definitions keep theirs.
function untitle(value, inProperties) {
  if (Array.isArray(value)) return value.map((item) => untitle(item, false));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => inProperties || key !== "title")
      .map(([key, item]) => [key, untitle(item, key === "properties" || key === "definitions")]),
  );
}

const clean = { ...untitle(schema, false), title: "Protocol" };
const banner = "// Generated from the server's messages by `npm run protocol`; do not edit.";
const text = await compile(clean, "Protocol", {
  bannerComment: banner,
  additionalProperties: false,
  ignoreMinAndMaxItems: true,
});
const path = new URL("../src/protocol/generated.ts", import.meta.url);

if (process.argv.includes("--check")) {
  if (readFileSync(path, "utf8") !== text) {
    console.error("src/protocol/generated.ts does not match the server's messages. Run `npm run protocol`.");
    process.exit(1);
  }
} else {
  writeFileSync(path, text);
}
