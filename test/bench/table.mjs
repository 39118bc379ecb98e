/** The results of all benches as one list of rows, each a figure of ours beside its floor in the same run. */

/**
 * `ours` and `floor` are in `unit`; `ratio` is the one to look at, and `aim`, where there is one, is what it should be at
 * most.
 */
const ROWS = {
  boot: (r) => [
    row(
      "boot to the first command / bare boot",
      "ms",
      r.bootToFirstCommandMs,
      r.bareBootMs,
      AIMS.boot[r.driver],
    ),
    row("memory of a booted VM / bare VM", "MiB", r.bootRssMiB, r.bareRssMiB),
    row("exec of `true` / ping on the channel", "ms", r.execP50Ms, r.pingP50Ms),
  ],
  image: (r) => [
    row("pull with disk / copy of the same bytes", "ms", r.pullMs, r.floorMs),
    row("pull with disk / skopeo and umoci", "ms", r.pullMs, r.skopeoMs),
  ],
  server: (r) => [
    row(
      "sandbox.start / boot of its guest",
      "ms",
      r.start.sandboxStart.p50Ms,
      r.start.guestBoot.p50Ms,
    ),
    row("command through the server / exec", "ms", r.calls.command.p50Ms, r.calls.exec.p50Ms),
    row("health / bare Fastify route", "ms", r.http.health.p50Ms, r.http.bareGet.p50Ms),
    row("refused RPC / bare Fastify route", "ms", r.http.invalidRpc.p50Ms, r.http.barePost.p50Ms),
    row(
      `${r.parallelStarts.sandboxes} starts at once / one after the other`,
      "ms",
      r.parallelStarts.lastMs,
      r.parallelStarts.lastMs / r.parallelStarts.shareOfSequential,
    ),
    row(
      `server with ${r.memory.sandboxes} sandboxes / without`,
      "MiB",
      r.memory.withSandboxesMiB,
      r.memory.emptyMiB,
    ),
  ],
  kernel: (r) =>
    ["python", "node"].flatMap((language) => {
      const { code, echo, first, output } = r[language];
      return [
        row(`run("1") / line sent back by ${language}`, "ms", code.p50Ms, echo.p50Ms),
        row(
          `first run("1") in ${language}, prewarmed / not`,
          "ms",
          first.prewarmed.p50Ms,
          first.cold.p50Ms,
        ),
        row(
          `${output.mib} MiB of prints in ${language} / raw output`,
          "s",
          output.mib / output.prints.mibPerS,
          output.mib / output.raw.mibPerS,
        ),
      ];
    }),
  templates: (r) => [
    ...["python", "node"].flatMap((language) => {
      const { ready, firstCode, ownMemory } = r[language];
      return [
        row(`${language}: ready from a template / cold`, "ms", ready.templateMs, ready.coldMs),
        row(
          `${language}: first code from a template / cold`,
          "ms",
          firstCode.templateMs,
          firstCode.coldMs,
          AIMS.template,
        ),
        row(
          `${language}: own memory from a template / cold`,
          "MiB",
          ownMemory.templateMiB,
          ownMemory.coldMiB,
          AIMS.templateMemory,
        ),
      ];
    }),
    row(
      `start of each of ${r.density.sandboxes}, idle ones beside it / one cold`,
      "ms",
      r.density.eachMs,
      r.python.firstCode.coldMs,
    ),
  ],
};
const AIMS = { boot: { qemu: 1.15, libkrun: 1.25 }, template: 0.12, templateMemory: 0.25 };

/** The rows of one bench's result, on the driver that it ran on. */
export function rowsOf(bench, driver, result) {
  return ROWS[bench](result).map((one) => ({ driver, ...one }));
}

/** As text; with the ratios of an earlier run, what became of them. */
export function tableOf(rows, earlier = []) {
  const before = new Map(earlier.map((one) => [keyOf(one), one.ratio]));
  const head = [
    "",
    "on",
    "ours",
    "floor",
    "unit",
    "ratio",
    "aim",
    ...(earlier.length > 0 ? ["before", "change"] : []),
  ];
  const body = rows.map((one) => {
    const was = before.get(keyOf(one));
    const change = was === undefined ? ["-", "-"] : [number(was), percent(one.ratio / was - 1)];
    return [
      one.what,
      one.driver,
      number(one.ours),
      number(one.floor),
      one.unit,
      number(one.ratio),
      one.aim === null ? "" : `${one.aim}${one.ratio > one.aim ? " missed" : ""}`,
      ...(earlier.length > 0 ? change : []),
    ];
  });
  const lines = [head, head.map(() => "---"), ...body];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const fill = (cell, column) =>
    cell === "---" ? "-".repeat(widths[column]) : cell.padEnd(widths[column]);
  return lines.map((line) => `| ${line.map(fill).join(" | ")} |`).join("\n");
}

function row(what, unit, ours, floor, aim = null) {
  return { what, unit, ours, floor, ratio: ours / floor, aim };
}

function keyOf({ what, driver }) {
  return `${driver} ${what}`;
}

/** Three digits. */
function number(value) {
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 3 });
}

function percent(share) {
  const text = `${Math.round(share * 100)} %`;
  return share > 0 ? `+${text}` : text;
}
