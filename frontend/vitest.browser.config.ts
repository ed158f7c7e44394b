// The page in a real browser against the real server: `npm run browser`, after `npm run build`.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/browser/**/*.test.ts"],
    environment: "node",
    // Each file has its own server and browser. Two at a time would slow each other down.
    fileParallelism: false,
    testTimeout: 150_000,
    hookTimeout: 150_000,
  },
});
