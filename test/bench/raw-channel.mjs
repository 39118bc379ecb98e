/** The floor of what goes over the channel: a VM as any other, whose only program answers lines. */
import { once } from "node:events";
import { connect } from "node:net";
import { onEnd } from "./ends.mjs";

/** About as long as a ping. */
const LINE_BYTES = 64;

/**
 * `echo` resolves when a line has come back, `fork` when a program has run between its coming and going, `output` when
 * so many bytes have come, `input` when the VM has read the content. The `initramfs` has bare-init.cc for an agent.
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
  const ask = asker(socket);
  const [echoLine, forkLine] = ["e", "f"].map(lineOf);
  return {
    echo: () => ask([echoLine], LINE_BYTES),
    fork: () => ask([forkLine], LINE_BYTES),
    output: (bytes) => ask([lineOf(`o${bytes}`)], bytes),
    input: (content) => ask([lineOf(`i${content.length}`), content], LINE_BYTES),
    close: async () => {
      socket.destroy();
      await vm.stop();
    },
  };
}

function lineOf(text) {
  return Buffer.from(`${text.padEnd(LINE_BYTES - 1, ".")}\n`);
}

/** A function that writes `pieces` and resolves when so many bytes have come in answer. */
function asker(socket) {
  let missing = 0;
  let asked;
  socket.on("data", (bytes) => {
    missing -= bytes.length;
    if (missing === 0) asked.resolve();
  });
  socket.on("error", () => {});
  socket.on("close", () => asked?.reject(new Error("the VM that answers lines has ended")));
  return (pieces, answerBytes) =>
    new Promise((resolve, reject) => {
      missing = answerBytes;
      asked = { resolve, reject };
      for (const piece of pieces) socket.write(piece);
    });
}
