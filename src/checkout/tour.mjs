/** What a sandbox does, shown by calls that users make themselves. */

const PANDAS = `import pandas
table = pandas.DataFrame({"city": ["Oslo", "Rome", "Oslo", "Rome"], "degrees": [3, 14, 7, 18]})
table.groupby("city").mean()`;

const PLAIN = `import statistics
degrees = {"Oslo": [3, 7], "Rome": [14, 18]}
{city: statistics.mean(values) for city, values in degrees.items()}`;

/** What it does, in a few words, once it is done. */
export async function runCode(sandbox, signal) {
  await show(
    sandbox,
    "import platform\nprint('Hello from Linux', platform.release())\n6 * 7",
    signal,
  );
  await show(sandbox, "total = sum(range(1, 101))", signal);
  await show(sandbox, "total  # what a run made is there for the next one", signal);
  const opts = { signal };
  const search = await sandbox.run(
    "import importlib.util as u; u.find_spec('pandas') is None",
    opts,
  );
  await show(sandbox, search.text === "False" ? PANDAS : PLAIN, signal);
  await show(sandbox, "1 / 0  # an error is a result", signal);
  return "prints, values, state, an error";
}

/** What it does, in a few words, once it is done. */
export async function runCommand(sandbox, signal) {
  const script = "id -un; df -h / | tail -n 1";
  print("$ ", script);
  const command = await sandbox.command.run("sh", ["-c", script], { timeout: 60, signal });
  print("  ", await command.output());
  if (!command.success) throw new Error(`it ended with ${command.exitCode}`);
  const { cpuUsage, memoryUsage, diskUsage } = await sandbox.metrics.all({ signal });
  const parts = [
    cpuUsage === null ? [] : [`${cpuUsage.toFixed(0)} % CPU`],
    memoryUsage === null ? [] : [`${memoryUsage} MiB of memory`],
    diskUsage === null ? [] : [`${(diskUsage / 1024 ** 2).toFixed(1)} MiB on disk`],
  ];
  return `exit code ${command.exitCode}; it uses ${parts.flat().join(", ")}`;
}

async function show(sandbox, code, signal) {
  print(">>> ", code);
  const execution = await sandbox.run(code, { signal });
  const text = execution.hasError() ? await execution.error() : await execution.output();
  if (text !== "") print("    ", text);
}

function print(prefix, text) {
  for (const line of text.split("\n")) console.log(`      ${prefix}${line}`);
}
