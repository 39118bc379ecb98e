// @ts-check
/**
 * Runs the tests of a project in a sandbox, as a CI job does, without Docker: nobody's test can touch this machine, and
 * each job begins with the image as it is.
 *
 *   msb-ts server start --dev                                    in another terminal
 *   node docs/examples/ci-tests.mjs                              tests of docs/examples/project
 *   node docs/examples/ci-tests.mjs FOLDER COMMAND [ARGUMENT…]   any other, in the image of the variable IMAGE
 *
 * Exits with the exit code of the tests.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Sandbox } from "msb-ts";

const MINUTE = 60;
const SAMPLE = fileURLToPath(new URL("project", import.meta.url));
const [folder = SAMPLE, command = "python3", ...args] = process.argv.slice(2);
const commandArgs = process.argv.length > 3 ? args : ["-m", "unittest", "-v"];

// Also when this program is killed, the server ends the job.
const sandbox = await Sandbox.create({
  image: process.env["IMAGE"] ?? "python",
  memory: 1024,
  maxLifetime: 30 * MINUTE,
});
try {
  await sendFolder(folder, "/root/project");
  const tests = await sandbox.command.run(command, commandArgs, {
    workdir: "/root/project",
    env: { CI: "1" },
    timeout: 20 * MINUTE,
    onStdout: (text) => process.stdout.write(text),
    onStderr: (text) => process.stderr.write(text),
  });
  console.log(tests.success ? "passed" : `failed with ${tests.exitCode}`);
  process.exitCode = tests.exitCode;
} finally {
  await sandbox.stop();
}

/**
 * As an archive, through the input of a `tar` that unpacks it. A request has room for 12 MB.
 *
 * @param {string} from
 * @param {string} to
 */
async function sendFolder(from, to) {
  const archive = execFileSync(
    "tar",
    ["-czf", "-", "--exclude=.git", "--exclude=node_modules", "-C", from, "."],
    { maxBuffer: 12 * 1024 ** 2 },
  );
  const script = 'mkdir -p "$1" && tar -xzf - -C "$1"';
  const unpacked = await sandbox.command.run("sh", ["-c", script, "sh", to], { stdin: archive });
  if (!unpacked.success) throw new Error(await unpacked.error());
}
