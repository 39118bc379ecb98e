/** The floor of what goes over the channel: a VM as any other, whose only program sends lines back. */
import { once } from "node:events";
import { connect } from "node:net";
import { onEnd } from "./ends.mjs";

/** About as long as a ping. */
const LINE_BYTES = 64;

/**
 * `echo` resolves when a line has come back, `fork` when a program has run between its coming and going. The
 * `initramfs` has bare-init.cc for an agent.
 */
export async function openRawChannel(driver, { initramfs, imageDisk, memoryMiB }) {
  const vm = await driver.boot({
    id: `bench-${process.pid}-raw`,
    vcpuCount: 1,
    memoryMiB,
    initramfs,
    // Nobody looks at it.
    imageDisk,
    upperDisk: null,
    lifetime: "owner",
    leaseMs: 0,
  });
  onEnd(() => vm.stop());
  await vm.alive;
  const socket = connect(vm.agentSocket);
  await once(socket, "connect");
  const ask = lineAsker(socket);
  const lines = { echo: "e", fork: "f" };
  const close = async () => {
    socket.destroy();
    await vm.stop();
  };
  const works = Object.entries(lines).map(([name, first]) => {
    const line = Buffer.from(`${first.padEnd(LINE_BYTES - 1, ".")}\n`);
    return [name, () => ask(line)];
  });
  return { ...Object.fromEntries(works), close };
}

function lineAsker(socket) {
  let missing = 0;
  let asked;
  socket.on("data", (bytes) => {
    missing -= bytes.length;
    if (missing === 0) asked.resolve();
  });
  socket.on("error", () => {});
  socket.on("close", () => asked?.reject(new Error("the VM that sends lines back has ended")));
  return (line) =>
    new Promise((resolve, reject) => {
      missing = line.length;
      asked = { resolve, reject };
      socket.write(line);
    });
}
