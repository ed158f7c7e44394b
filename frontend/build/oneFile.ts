// A build of one HTML file: scripts, styles and fonts are inside it, under a content security policy that allows nothing else.
import { createHash } from "node:crypto";
import type { Plugin, Rolldown } from "vite";

type Bundle = Rolldown.OutputBundle;

/** The source of a policy that allows exactly this script. */
const hashOf = (script: string): string =>
  `'sha256-${createHash("sha256").update(script, "utf8").digest("base64")}'`;

/** Nothing is fetched; only this script runs. Styles are inline, because React sets `style` attributes. */
export const policyOf = (script: string): string =>
  [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    "style-src 'unsafe-inline'",
    "img-src data: blob:",
    "font-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");

/** A script that an HTML parser reads to its end. Throws where that needs a change of its meaning. */
export function enclosed(code: string): string {
  if (code.includes("<!--")) throw new Error("The script contains <!--, which changes how HTML reads it.");
  // Vite's placeholder for files to load ahead of an import: there are none.
  const complete = code.replaceAll("__VITE_PRELOAD__", "void 0");
  return complete.replace(/<(?=\/script)/gi, "\\x3c").trim();
}

/** The file with the only script, and all styles, in it. The script stands at the end, after the elements it reads. */
export function inlined(html: string, script: string, styles: string): string {
  const code = enclosed(script);
  const policy = `<meta http-equiv="Content-Security-Policy" content="${policyOf(code)}">`;
  const bare = html
    .replace(/<script[^>]*\ssrc=[^>]*><\/script>\s*/g, "")
    .replace(/<link[^>]*\srel="(?:stylesheet|modulepreload)"[^>]*>\s*/g, "");
  // Functions, because `$&` in a replacement would be read as a pattern.
  return bare
    .replace(/<head>/, () => `<head>\n    ${policy}`)
    .replace(/<\/head>/, () => `<style>${styles}</style>\n  </head>`)
    .replace(/<\/body>/, () => `<script type="module">${code}</script>\n  </body>`);
}

const textOf = (asset: Rolldown.OutputAsset): string => Buffer.from(asset.source).toString("utf8");

function only<T>(found: readonly T[], what: string): T {
  const [first] = found;
  if (found.length !== 1 || first === undefined)
    throw new Error(`Expected one ${what}, got ${found.length}.`);
  return first;
}

/** Puts all chunks and assets of a bundle into its HTML file. */
function join(bundle: Bundle): void {
  const assets = Object.values(bundle).filter((file) => file.type === "asset");
  const chunk = only(
    Object.values(bundle).filter((file) => file.type === "chunk"),
    "script",
  );
  const html = only(
    assets.filter(({ fileName }) => fileName.endsWith(".html")),
    "HTML file",
  );
  const styles = assets.filter(({ fileName }) => fileName.endsWith(".css"));
  html.source = inlined(textOf(html), chunk.code, styles.map(textOf).join(""));
  for (const file of [chunk, ...styles]) delete bundle[file.fileName];
  only(Object.values(bundle), "file");
}

export const oneFile = (): Plugin => ({
  name: "one-file",
  enforce: "post",
  config: () => ({
    build: {
      assetsInlineLimit: Number.MAX_SAFE_INTEGER,
      copyPublicDir: false,
      cssCodeSplit: false,
      modulePreload: false,
      rolldownOptions: { output: { codeSplitting: false } },
    },
  }),
  generateBundle: (_options, bundle) => join(bundle),
});
