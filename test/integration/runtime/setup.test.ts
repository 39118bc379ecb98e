import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { msbPaths } from "../../../src/paths.js";
import { setup } from "../../../src/runtime/setup.js";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "msb-setup-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

it("setup brings library and kernel with progress, names missing tools, and is quick the second time", async () => {
  const components = new Set<string>();
  const env = { ...process.env, MSB_QEMU_PATH: "/no/qemu" };
  const opts = {
    paths: msbPaths(home),
    env,
    onProgress: (p: { component: string }) => components.add(p.component),
  };
  const first = await setup(opts);
  expect([...components].toSorted()).toEqual(["libkrun", "libkrunfw"]);
  expect(first.libkrun).toMatchObject({ source: "setup" });
  expect(first.kernel).toMatchObject({ version: "6.12.99", source: "setup" });
  expect(first.missingTools).toEqual(["qemu"]);

  components.clear();
  const second = await setup({ ...opts, isOffline: true, env: process.env });
  expect(components.size).toBe(0);
  expect(second).toMatchObject({ kernel: first.kernel, missingTools: [] });
});
