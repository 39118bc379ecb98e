// @ts-check
/**
 * Data goes into a sandbox; a table, a number and a plot come out.
 *
 *   msb-ts server start --dev                       in another terminal
 *   node docs/examples/data-analysis.mjs [FOLDER]   plot.png is written to FOLDER, else to the current one
 *
 * Needs pandas and matplotlib in the image: `msb-ts image build python` makes one that has them.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PythonSandbox } from "msb-ts";

const SALES = `month,region,amount
2026-01,north,120
2026-01,south,95
2026-02,north,150
2026-02,south,110
2026-03,north,90
2026-03,south,170
`;

const sandbox = await PythonSandbox.create({ memory: 1024 });
try {
  await sandbox.command.run("sh", ["-c", "cat > /tmp/sales.csv"], { stdin: SALES });

  const table = await run(`
import pandas as pd
sales = pd.read_csv("/tmp/sales.csv")
sales.pivot_table(index="month", columns="region", values="amount", aggfunc="sum")`);
  console.log(table.text);

  // What a run made is there for the next one.
  const best = await run(`sales.groupby("month")["amount"].sum().idxmax()`);
  console.log("best month:", best.text);

  const figure = await run(`
import matplotlib.pyplot as plt
sales.pivot(index="month", columns="region", values="amount").plot(kind="bar", title="Sales")
plt.show()`);
  const png = figure.results.find((result) => result.png !== undefined)?.png;
  if (png === undefined) throw new Error("The code drew no figure");
  const path = join(process.argv[2] ?? ".", "plot.png");
  await writeFile(path, Buffer.from(png, "base64"));
  console.log("plot:", path);
} finally {
  await sandbox.stop();
}

/**
 * Runs code that must not fail.
 *
 * @param {string} code
 */
async function run(code) {
  const execution = await sandbox.run(code, { timeout: 300 });
  if (execution.hasError()) throw new Error(await execution.error());
  return execution;
}
