// @vitest-environment node
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { enclosed, inlined } from "./oneFile";

const HTML = `<!doctype html>
<html><head>
<script type="module" crossorigin src="/assets/a.js"></script>
<link rel="stylesheet" crossorigin href="/assets/a.css">
</head><body><div id="root"></div></body></html>`;

it("puts script and styles inside, and nothing outside", () => {
  const whole = inlined(HTML, 'document.title = "$& </script>";\n', "p { color: red }");
  expect(whole).not.toMatch(/src=|href=/);
  expect(whole).toContain("<style>p { color: red }</style>");
  expect(whole.indexOf('<div id="root">')).toBeLessThan(whole.indexOf("document.title"));
  expect(whole.match(/<\/script>/g)).toHaveLength(1);
  expect(whole).toContain('document.title = "$& \\x3c/script>";</script>');
});

it("allows exactly its own script", () => {
  const whole = inlined(HTML, "run();", "");
  const script = /<script type="module">(.*)<\/script>/s.exec(whole)?.[1] ?? "";
  const hash = createHash("sha256").update(script).digest("base64");
  expect(whole).toContain(`script-src 'sha256-${hash}'`);
  expect(whole).toContain("default-src 'none'");
  expect(inlined(HTML, "run(1);", "")).not.toContain(hash);
});

it("refuses a script that an HTML parser reads differently", () => {
  expect(() => enclosed("a<!--b")).toThrow("<!--");
});
