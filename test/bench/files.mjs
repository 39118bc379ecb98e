/**
 * Files of a guest, and the streams of its commands, against the same bytes over the channel of a bare program;
 * alternating, in one run.
 *
 *   node test/bench/files.mjs --driver qemu|libkrun --bare-initramfs FILE --image FILE [--rounds N] [--mib N] [--json FILE]
 */
import { parseArgs } from "node:util";
import { end } from "./ends.mjs";
import { openDriver } from "./guests.mjs";
import { openRawChannel } from "./raw-channel.mjs";
import { writeResult } from "./result.mjs";
import { inTurn, spreads } from "./samples.mjs";

const { values: args } = parseArgs({
  options: {
    driver: { type: "string", default: "qemu" },
    "bare-initramfs": { type: "string" },
    image: { type: "string" },
    rounds: { type: "string", default: "10" },
    mib: { type: "string", default: "10" },
    json: { type: "string" },
  },
});
const MEMORY_MIB = 256;
const BYTES = Number(args.mib) * 1024 ** 2;
const CONTENT = Buffer.alloc(BYTES, "x");
const PATH = "/tmp/bench";
/** Of the image's programs the one that does least with a byte. */
const COPY = ["dd", "bs=64k", "status=none"];
const SOURCE = [...COPY, "if=/dev/zero", `count=${BYTES / 65_536}`];
const SINK = [...COPY, "of=/dev/null"];

try {
  const { driver, boot } = await openDriver(args.driver);
  const machine = { imageDisk: args.image, memoryMiB: MEMORY_MIB };
  const raw = await openRawChannel(driver, { ...machine, initramfs: args["bare-initramfs"] });
  const { agent } = await boot(machine);
  const works = {
    rawInputMs: () => raw.input(CONTENT),
    writeMs: () => agent.files.write(PATH, CONTENT),
    stdinMs: () => writeToProgram(agent),
    rawOutputMs: () => raw.output(BYTES),
    readMs: () => readAll(agent.files.readStream(PATH), (data) => data),
    stdoutMs: () => readFromProgram(agent),
  };
  report(spreads(await inTurn(works, Number(args.rounds), 1)));
} finally {
  await end();
}

async function writeToProgram(agent) {
  const exec = await agent.exec(SINK, { stdin: true });
  await exec.write(CONTENT);
  exec.endStdin();
  const { exitCode } = await exec.exited;
  if (exitCode !== 0) throw new Error(`${SINK.join(" ")} ended with ${exitCode}`);
  await exec.close();
}

async function readFromProgram(agent) {
  const exec = await agent.exec(SOURCE);
  await readAll(exec.output, ({ data }) => data);
  await exec.close();
}

async function readAll(chunks, dataOf) {
  let bytes = 0;
  for await (const chunk of chunks) bytes += dataOf(chunk).length;
  if (bytes !== BYTES) throw new Error(`${bytes} bytes came, not ${BYTES}`);
}

function report(times) {
  const result = {
    driver: args.driver,
    rounds: Number(args.rounds),
    mib: Number(args.mib),
    ...times,
  };
  writeResult(result, args.json);
}
