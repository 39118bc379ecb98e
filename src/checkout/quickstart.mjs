/**
 * `npm run quickstart`: from a fresh checkout to Python in a microVM. What is there already is left as it is; what was
 * started is stopped at the end, whatever the end is. A first Ctrl-C asks it to, a second one kills it.
 *
 *   npm run quickstart [-- --yes]      --yes: install missing system packages without asking
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Children } from "./children.mjs";
import { CLI } from "./cli.mjs";
import { bringPythonImage } from "./image.mjs";
import { OwnServer } from "./own-server.mjs";
import {
  BUILD,
  BUILD_NATIVE,
  INSTALL,
  isBuilt,
  isInstalled,
  isNativeBuilt,
  nodeProblem,
  project,
} from "./prepare.mjs";
import { Stages } from "./stages.mjs";
import { bringSystemPackages } from "./system.mjs";
import { runCode, runCommand } from "./tour.mjs";

const { values } = parseArgs({ options: { yes: { type: "boolean", short: "y", default: false } } });
const mayInstall = values.yes || process.env.CI || process.getuid() === 0 ? "yes" : "ask";

/** Of npm, which ends late or never when it is asked; what it had begun is begun again by the next run. */
const NPM_GRACE_MS = 2_000;

const children = new Children(project);
children.signal.addEventListener("abort", () => {
  console.error("\nquickstart: stopping what runs; a second Ctrl-C kills it.");
});
const stages = new Stages(11);
/** What is to be stopped in the end. */
let server;
let sandbox;
try {
  await prepare();
  await tour();
} catch (error) {
  report(error);
} finally {
  // Normally both are gone; after a failure the server takes its sandboxes with it.
  await server?.stop();
}

async function prepare() {
  await stages.run("Node.js", () => {
    const problem = nodeProblem();
    if (problem !== undefined) throw new Error(problem);
    return process.versions.node;
  });
  await stages.run("system packages", () => bringSystemPackages(children, mayInstall));
  await stages.run("npm packages and native parts", () => unless(isInstalled(), INSTALL));
  await stages.run("native parts, when their sources changed", () =>
    unless(isNativeBuilt(), BUILD_NATIVE),
  );
  await stages.run("TypeScript", buildTypeScript);
  await stages.run("libkrun and the guest kernel", async () => {
    const code = await children.run(process.execPath, [CLI, "setup"]);
    if (code !== 0) throw new Error(`msb-ts setup failed (${code}); its message is above`);
    return "ready";
  });
  await stages.run("image with Python", () => bringPythonImage(children, mayInstall));
}

async function tour() {
  const { signal } = children;
  const { PythonSandbox } = await import(pathToFileURL(join(project, "dist/index.js")).href);
  await stages.run("server", async () => {
    server = await OwnServer.start(children);
    return server.url;
  });
  await stages.run("microVM", async () => {
    sandbox = await PythonSandbox.create({ serverUrl: server.url, apiKey: "", signal });
    const { vm } = await sandbox.info();
    return `${sandbox.name}, booted by ${vm?.driver}`;
  });
  await stages.run("Python in it", () => runCode(sandbox, signal));
  await stages.run("a command in it", () => runCommand(sandbox, signal));
  await sandbox.stop();
  await server.stop();
  server = undefined;
  console.log(`\n${stages.summary()}\n\nEverything that was started is stopped. Go on with`);
  console.log("  node dist/cli/main.js server start --dev   a server of your own");
  console.log("  docs/examples/README.md                    programs that use it");
}

async function unless(isDone, [command, args]) {
  if (isDone) return "already there";
  console.log(`      ${command} ${args.join(" ")} (a minute or more)`);
  await children.must(command, args, { graceMs: NPM_GRACE_MS });
  return "done";
}

async function buildTypeScript() {
  try {
    return await unless(isBuilt(), BUILD);
  } catch (error) {
    // A file that was being written looks newer than its source.
    rmSync(join(project, "dist"), { recursive: true, force: true });
    throw error;
  }
}

function report(error) {
  if (children.stoppedBy === undefined) {
    console.error(`\nquickstart: ${error.message}`);
    console.error("When that is mended, run it again: it goes on where it stopped.");
    process.exitCode = 1;
  } else {
    console.error(
      `\nquickstart: stopped by ${children.stoppedBy}. Run again, it goes on from here.`,
    );
    process.exitCode = children.exitCode;
  }
}
