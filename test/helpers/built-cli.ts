/** The CLI as `npm run build` made it, for tests that run it as a process. */
import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const fromProject = (path: string): string =>
  fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The real program. */
export function builtCli(): string {
  requireFreshBuild();
  return fromProject("dist/cli/main.js");
}

/** The same process around images that the variable FAKE_IMAGES says the behaviour of. */
export function builtCliWithFakeImages(): string {
  requireFreshBuild();
  return fromProject("test/helpers/fake-cli.mjs");
}

/** Throws when dist is not what src would be built to. */
function requireFreshBuild(): void {
  for (const name of readdirSync(fromProject("src"), { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts") || name.endsWith(".d.ts")) continue;
    const built = `dist/${name.replace(/\.ts$/, ".js")}`;
    const builtAt = statSync(fromProject(built), { throwIfNoEntry: false })?.mtimeMs;
    if (builtAt !== undefined && builtAt >= statSync(fromProject(`src/${name}`)).mtimeMs) continue;
    const why = builtAt === undefined ? "is missing" : `is older than src/${name}`;
    throw new Error(`${built} ${why}: run "npm run build" before this test`);
  }
}
