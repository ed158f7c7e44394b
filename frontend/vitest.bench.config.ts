// How fast and how heavy the page is, in a real browser against the real server: `make bench-page`.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/bench/page.ts"],
    environment: "node",
    testTimeout: 900_000,
    hookTimeout: 150_000,
    disableConsoleIntercept: true,
  },
});
