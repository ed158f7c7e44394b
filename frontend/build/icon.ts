// The icon of the page inside its HTML: an address would be relative, and wrong after a move to another place.
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const ICON = new URL("../src/ui/favicon.svg", import.meta.url);

export const pageIcon = (): Plugin => ({
  name: "page-icon",
  transformIndexHtml: {
    order: "pre",
    handler: (html) =>
      html.replace("{{icon}}", `data:image/svg+xml,${encodeURIComponent(readFileSync(ICON, "utf8"))}`),
  },
});
