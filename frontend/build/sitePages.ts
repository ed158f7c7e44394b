// A static site: each place of the page is a folder with the same file, so that any server of files answers at its address.
import type { Plugin } from "vite";

/** The places that need no server; src/ui/Places.tsx links the same. */
export const FOLDERS = ["learn", "runs"] as const;

/** The file of the page, one folder deeper. Its addresses are relative, because the site can be anywhere. */
export function deeper(html: string): string {
  const found = html.replace(/((?:src|href)=")\.\//g, "$1../");
  if (found === html) throw new Error("The page names no file of its folder.");
  return found;
}

export const sitePages = (): Plugin => ({
  name: "site-pages",
  enforce: "post",
  generateBundle(_options, bundle) {
    const index = bundle["index.html"];
    if (index?.type !== "asset") throw new Error("The page has no index.html.");
    const source = deeper(Buffer.from(index.source).toString("utf8"));
    for (const folder of FOLDERS) this.emitFile({ type: "asset", fileName: `${folder}/index.html`, source });
  },
});
