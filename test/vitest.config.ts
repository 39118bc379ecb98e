import { defineConfig } from "vitest/config";

/** How long `expect.poll` waits for what will happen: a busy machine is no failure. */
const expectOpts = { poll: { timeout: 30_000 } };

/** What is above the drivers is tested on one of them; the emulated KVM host has neither its tools nor the time. */
const ABOVE_DRIVERS = [
  "vm/sdk.test.ts",
  "vm/examples.test.ts",
  "vm/cli-run.test.ts",
  "vm/templates.test.ts",
  "vm/saved-vms.test.ts",
  "vm/cli-sandboxes.test.ts",
];

const LIBKRUN_ONLY = ["vm/warm-pool.test.ts"];

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
          exclude: process.env.MSB_TEST_DRIVERS === "libkrun" ? ABOVE_DRIVERS : LIBKRUN_ONLY,
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
