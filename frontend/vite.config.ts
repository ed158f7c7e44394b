import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import type { BuildEnvironmentOptions, PluginOption } from "vite";
import { defineConfig } from "vitest/config";
import { oneFile } from "./build/oneFile";

const server = process.env.SPECULATOVIZ_SERVER ?? "http://127.0.0.1:8000";

interface Build {
  readonly build: BuildEnvironmentOptions;
  readonly plugins: PluginOption[];
}

/** The page of the server, or `--mode player`: the file into which `speculatoviz export` puts a run. */
function buildOf(mode: string): Build {
  if (mode === "player") {
    const build = { outDir: "../src/speculatoviz/lab/built", rolldownOptions: { input: "player.html" } };
    return { build, plugins: [oneFile()] };
  }
  return { build: { outDir: "../src/speculatoviz/server/page" }, plugins: [] };
}

export default defineConfig(({ mode }) => {
  const { build, plugins } = buildOf(mode);
  return {
    plugins: [react(), tailwindcss(), ...plugins],
    build: { emptyOutDir: true, chunkSizeWarningLimit: 1200, ...build },
    server: { proxy: { "/api": server, "/ws": { target: server, ws: true } } },
    test: { include: ["src/**/*.test.{ts,tsx}", "build/**/*.test.ts"], environment: "happy-dom" },
  };
});
