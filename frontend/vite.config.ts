import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import type { BuildEnvironmentOptions, PluginOption } from "vite";
import { defineConfig } from "vitest/config";
import { pageFonts } from "./build/fonts.ts";
import { pageIcon } from "./build/icon.ts";
import { oneFile } from "./build/oneFile.ts";
import { packedFiles } from "./build/packed.ts";
import { sitePages } from "./build/sitePages.ts";

const server = process.env.SPECULATOVIZ_SERVER ?? "http://127.0.0.1:8000";

interface Build {
  readonly base: string;
  readonly build: BuildEnvironmentOptions;
  readonly plugins: PluginOption[];
}

/**
 * The page of the server; `--mode player`: the file into which `speculatoviz export` puts a run; `--mode site`: the page as
 * files that any server can serve, below any address.
 */
function buildOf(mode: string): Build {
  if (mode === "player") {
    const build = { outDir: "../src/speculatoviz/lab/built", rolldownOptions: { input: "player.html" } };
    return { base: "./", build, plugins: [oneFile()] };
  }
  if (mode === "site") {
    const build = { outDir: "../site", copyPublicDir: false };
    return { base: "./", build, plugins: [sitePages()] };
  }
  return { base: "/", build: { outDir: "../src/speculatoviz/server/page" }, plugins: [packedFiles()] };
}

export default defineConfig(({ mode }) => {
  const { base, build, plugins } = buildOf(mode);
  return {
    base,
    plugins: [pageFonts(), pageIcon(), react(), tailwindcss(), ...plugins],
    build: { emptyOutDir: true, chunkSizeWarningLimit: 1200, ...build },
    server: { proxy: { "/api": server, "/ws": { target: server, ws: true } } },
    test: { include: ["src/**/*.test.{ts,tsx}", "build/**/*.test.ts"], environment: "happy-dom" },
  };
});
