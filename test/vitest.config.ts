import { defineConfig } from "vitest/config";

/** How long `expect.poll` waits for what will happen: a busy machine is no failure. */
const expectOpts = { poll: { timeout: 30_000 } };

// One project per kind of test; each has its own clock. `vm` boots real microVMs, one file at a time.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          root: "test",
          include: ["unit/**/*.test.ts", "fuzz/**/*.test.ts"],
          testTimeout: 120_000,
          expect: expectOpts,
        },
      },
      {
        test: {
          name: "integration",
          root: "test",
          include: ["integration/**/*.test.ts", "native/**/*.test.ts"],
          testTimeout: 120_000,
          expect: expectOpts,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "vm",
          root: "test",
          include: ["vm/**/*.test.ts"],
          pool: "forks",
          poolOptions: { forks: { singleFork: true } },
          testTimeout: 180_000,
          expect: expectOpts,
          // Whoever needs an image first makes it, from packages.
          hookTimeout: 900_000,
        },
      },
    ],
  },
});
