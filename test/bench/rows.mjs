/** The result of each bench as rows, each a figure of ours beside its floor in the same run. */

/** What a ratio should be at most. */
const AIMS = {
  boot: { qemu: 1.15, libkrun: 1.25 },
  exec: 1.5,
  code: 1.5,
  template: 0.12,
  templateMemory: 0.25,
  warm: 0.05,
};
const LANGUAGES = ["python", "node"];

const ROWS = {
  boot: (r) => [
    row("boot to the first command / bare boot", "ms", r.bootMs, r.bareBootMs, AIMS.boot[r.driver]),
    row("memory of a booted VM / bare VM", "MiB", r.bootRssMiB, r.bareRssMiB),
    row("exec of `true` / raw echo + fork", "ms", r.execMs, r.rawForkMs, AIMS.exec),
    row("ping / raw echo", "ms", r.pingMs, r.rawEchoMs),
  ],
  image: (r) => [
    row("pull with disk / copy of the same bytes", "ms", r.pullMs, r.floorMs),
    row("pull with disk / skopeo, umoci, mkfs.erofs", "ms", r.pullMs, r.peerMs),
    row("disk of stored layers / umoci, mkfs.erofs", "ms", r.diskMs, r.peerDiskMs),
  ],
  files: (r) => [
    row(`${r.mib} MiB to a file / raw input`, "ms", r.writeMs, r.rawInputMs),
    row(`${r.mib} MiB to stdin of a command / raw input`, "ms", r.stdinMs, r.rawInputMs),
    row(`${r.mib} MiB of a file / raw output`, "ms", r.readMs, r.rawOutputMs),
    row(`${r.mib} MiB from stdout of a command / raw output`, "ms", r.stdoutMs, r.rawOutputMs),
  ],
  server: ({ start, calls, http, parallel, memory }) => [
    row("sandbox.start / boot of its guest", "ms", start.sandboxStartMs, start.guestBootMs),
    row("command through the server / exec", "ms", calls.commandMs, calls.execMs),
    row("health / bare Fastify route", "ms", http.healthMs, http.bareGetMs),
    row("refused RPC / bare Fastify route", "ms", http.invalidRpcMs, http.barePostMs),
    ...parallel
      .filter(({ sandboxes }) => sandboxes > 1)
      .map(({ sandboxes, lastMs, sequentialMs }) =>
        row(`${sandboxes} starts at once / ${sandboxes} times one`, "ms", lastMs, sequentialMs),
      ),
    row(
      `server with ${memory.sandboxes} sandboxes / empty, RSS`,
      "MiB",
      memory.serverMiB,
      memory.emptyMiB,
    ),
    ...["rss", "pss"].map((kind) =>
      row(
        `idle sandbox with Python, ${kind.toUpperCase()} / its memory`,
        "MiB",
        memory[`${kind}MiB`],
        memory.givenMiB,
      ),
    ),
  ],
  templates: (r) => [
    ...LANGUAGES.flatMap((language) => {
      const { ownMemory } = r[language];
      return [
        ...headStartRows(language, r[language], "from a template", AIMS.template),
        row(
          `${language}: own memory from a template / cold`,
          "MiB",
          ownMemory.quickMiB,
          ownMemory.coldMiB,
          AIMS.templateMemory,
        ),
      ];
    }),
    row(
      `first code of each of ${r.density.sandboxes}, idle ones beside it / of one cold`,
      "ms",
      r.density.startMs,
      r.python.firstCode.coldMs,
    ),
  ],
  warm: (r) => headStartRows("python", r.python, "on a guest ahead", AIMS.warm),
  kernel: (r) =>
    LANGUAGES.flatMap((language) => {
      const { codeMs, rawEchoMs, echoMs, first, output } = r[language];
      return [
        row(`run("1") in ${language} / raw echo`, "ms", codeMs, rawEchoMs, AIMS.code),
        row(`run("1") / line sent back by ${language}`, "ms", codeMs, echoMs),
        row(`first run("1") in ${language}, prewarmed / not`, "ms", first.prewarmed, first.cold),
        row(
          `${output.mib} MiB of prints in ${language} / raw output`,
          "ms",
          output.printsMs,
          output.rawMs,
        ),
        row(
          `${output.mib} MiB of prints / of a program in ${language}`,
          "ms",
          output.printsMs,
          output.programMs,
        ),
      ];
    }),
};

export const BENCHES = ["image", "boot", "files", "server", "templates", "warm", "kernel"];

/** The rows of one bench's result, on the driver that it ran on. */
export function rowsOf(bench, driver, result) {
  return ROWS[bench](result).map((one) => ({ driver, ...one }));
}

function headStartRows(language, { ready, firstCode }, how, aim) {
  return [
    row(`${language}: ready ${how} / cold`, "ms", ready.quickMs, ready.coldMs, aim),
    row(`${language}: first code ${how} / cold`, "ms", firstCode.quickMs, firstCode.coldMs, aim),
  ];
}

/** `ours` and `floor` are numbers or spreads, in `unit`; of spreads the ratio is that of the medians. */
function row(what, unit, ours, floor, aim = null) {
  const [median, base] = [ours.p50 ?? ours, floor.p50 ?? floor];
  return {
    what,
    unit,
    ours: median,
    p95: ours.p95 ?? null,
    floor: base,
    ratio: median / base,
    aim,
  };
}
