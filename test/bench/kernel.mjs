/**
 * Running code against what it is made of, alternating, in one run: code against lines that a bare program sends back
 * over the same channel, against pings, and against lines that the same interpreter sends back; prints against the same
 * bytes of the bare program, and against the same prints of the interpreter; the first code with an interpreter that was
 * started ahead and without.
 *
 *   node test/bench/kernel.mjs --driver qemu|libkrun --store DIR --bare-initramfs FILE [--rounds N] [--calls N] [--mib N]
 *                              [--json FILE]
 *
 * DIR is what `test/helpers/server-images.ts` prints.
 */
import { parseArgs } from "node:util";
import { openKernels } from "../../dist/kernel/open-kernels.js";
import { end } from "./ends.mjs";
import { openDriver } from "./guests.mjs";
import { imageDiskOf, makeHome } from "./home.mjs";
import { openRawChannel } from "./raw-channel.mjs";
import { writeResult } from "./result.mjs";
import { inTurn, ratio, round, spreads, timed } from "./samples.mjs";

const { values: args } = parseArgs({
  options: {
    driver: { type: "string", default: "qemu" },
    store: { type: "string" },
    "bare-initramfs": { type: "string" },
    rounds: { type: "string", default: "5" },
    calls: { type: "string", default: "200" },
    mib: { type: "string", default: "10" },
    json: { type: "string" },
  },
});
const MEMORY_MIB = 512;
const WARM_UP = 20;
const LINE_BYTES = 1024;
const BYTES = Number(args.mib) * 1024 ** 2;
const LINES = BYTES / LINE_BYTES;
const ENV = ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root"];
const LANGUAGES = {
  python: {
    image: "msb-ts/python:latest",
    echo: ["python3", "-c", "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"],
    prints: `line = 'x' * ${LINE_BYTES - 1}\nfor _ in range(${LINES}): print(line)`,
    printer: (prints) => [
      "python3",
      "-c",
      `import sys\nfor _ in sys.stdin:\n exec(${JSON.stringify(prints)})\n sys.stdout.flush()`,
    ],
  },
  node: {
    image: "msb-ts/node:latest",
    echo: ["node", "-e", "process.stdin.on('data', (data) => process.stdout.write(data))"],
    prints: `const line = 'x'.repeat(${LINE_BYTES - 1}); for (let n = 0; n < ${LINES}; n++) console.log(line)`,
    printer: (prints) => ["node", "-e", `process.stdin.on('data', () => { ${prints} })`],
  },
};

try {
  const home = makeHome(args.store);
  const { driver, boot } = await openDriver(args.driver);
  const initramfs = args["bare-initramfs"];
  const result = { driver: args.driver };
  for (const language of Object.keys(LANGUAGES)) {
    const imageDisk = await imageDiskOf(home, LANGUAGES[language].image);
    const bootBox = () => bootWithKernels(boot, imageDisk);
    const openRaw = () => openRawChannel(driver, { initramfs, imageDisk, memoryMiB: MEMORY_MIB });
    result[language] = {
      first: await firstRuns(bootBox, language),
      ...(await withGuest(bootBox, (box) => warmRuns(openRaw, box, language))),
    };
  }
  writeResult(result, args.json);
} finally {
  await end();
}

async function bootWithKernels(boot, imageDisk) {
  const guest = await boot({ imageDisk, memoryMiB: MEMORY_MIB });
  const opts = { env: ENV, workdir: "/root", user: "root", maxOutputBytes: 2 * BYTES };
  return { guest, kernels: await openKernels(guest.agent, opts) };
}

/** What `use` gives of a guest that is ready, which ends with it. */
async function withGuest(boot, use) {
  const box = await boot();
  try {
    return await use(box);
  } finally {
    await box.guest.stop();
  }
}

/** The first code of a guest that is ready: as it is, and when its interpreter was started ahead. */
async function firstRuns(boot, language) {
  const samples = { cold: [], prewarm: [], prewarmed: [] };
  for (let i = 0; i < Number(args.rounds); i += 1) {
    await withGuest(boot, async ({ kernels }) => {
      samples.cold.push(await timed(() => run(kernels, language, "1")));
    });
    await withGuest(boot, async ({ kernels }) => {
      samples.prewarm.push(await timed(() => kernels.prewarm(language)));
      samples.prewarmed.push(await timed(() => run(kernels, language, "1")));
    });
  }
  return spreads(samples);
}

async function warmRuns(openRaw, { guest, kernels }, language) {
  const switches = {
    python: "import sys\nfor n in range(50): print(n); print(n, file=sys.stderr)",
    node: "for (let n = 0; n < 50; n++) { console.log(n); console.error(n) }",
  };
  const raw = await openRaw();
  const trips = await roundTrips(raw, { guest, kernels }, language);
  await run(kernels, language, switches[language]);
  const switching = await timed(() => run(kernels, language, switches[language]));
  const output = await outputTimes(raw, { guest, kernels }, language);
  await raw.close();
  return {
    rawEchoMs: trips.raw,
    pingMs: trips.ping,
    echoMs: trips.echo,
    codeMs: trips.code,
    codeToRawEcho: ratio(trips.code, trips.raw),
    codeToPing: ratio(trips.code, trips.ping),
    codeToEcho: ratio(trips.code, trips.echo),
    perSwitchMs: round(switching / 100),
    output: { mib: Number(args.mib), ...output, ratio: ratio(output.printsMs, output.rawMs) },
  };
}

/** Of the bare channel, of the agent, of the agent with the interpreter, and of code. */
async function roundTrips(raw, { guest, kernels }, language) {
  const echo = await guest.agent.exec(LANGUAGES[language].echo, { env: ENV, stdin: true });
  const output = echo.output[Symbol.asyncIterator]();
  const works = {
    raw: raw.echo,
    ping: () => guest.agent.ping("x"),
    echo: async () => {
      await echo.write(Buffer.from("x\n"));
      await output.next();
    },
    code: () => run(kernels, language, "1"),
  };
  const samples = await inTurn(works, Number(args.calls), WARM_UP);
  await echo.close();
  return spreads(samples);
}

/** Of BYTES: of the bare program, of the interpreter whenever a line comes, and of code. */
async function outputTimes(raw, { guest, kernels }, language) {
  const { prints, printer } = LANGUAGES[language];
  const program = await guest.agent.exec(printer(prints), { env: ENV, stdin: true });
  const output = program.output[Symbol.asyncIterator]();
  const works = {
    rawMs: () => raw.output(BYTES),
    programMs: async () => {
      await program.write(Buffer.from("x\n"));
      for (let left = BYTES; left > 0;) left -= (await output.next()).value.data.length;
    },
    printsMs: async () => {
      const bytes = await run(kernels, language, prints);
      if (bytes !== BYTES) throw new Error(`${bytes} bytes came, not ${BYTES}`);
    },
  };
  const samples = await inTurn(works, Number(args.rounds), 1);
  await program.close();
  return spreads(samples);
}

/** Bytes of output. */
async function run(kernels, language, code) {
  let bytes = 0;
  let last;
  for await (const event of kernels.run({ language, code, timeoutMs: 0 })) {
    if (event.type === "stdout") bytes += Buffer.byteLength(event.text);
    last = event;
  }
  if (last?.status !== "success") throw new Error(JSON.stringify(last));
  return bytes;
}
