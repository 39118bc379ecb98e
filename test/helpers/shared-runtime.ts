/** An MSB_HOME of a test with the runtime components of the tests' own, which are fetched once for all. */
import { symlink } from "node:fs/promises";
import { msbPaths } from "../../src/paths.js";
import { resolveRuntime } from "../../src/runtime/resolve.js";

export async function linkRuntime(home: string): Promise<void> {
  const shared = msbPaths();
  await resolveRuntime({ paths: shared, env: process.env });
  await symlink(shared.runtimeRoot, msbPaths(home).runtimeRoot);
}
