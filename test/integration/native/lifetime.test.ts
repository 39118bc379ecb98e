/** No VM without an owner, however the owner goes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import { vmmPath } from "../../../src/native/binaries.js";
import { isGone, shellConfig, tempFolder, TestHost, TestVm, until } from "./vmm-fixture.js";

const addon = fileURLToPath(new URL("../../../build/Release/msb.node", import.meta.url));

/** A program that boots a VM, says both pids through `say`, and stays. */
function ownerCode(config: Record<string, unknown>, folder: string, say: string): string {
  const channels = ["agent", "console"].map((name) => ({
    name,
    socketPath: join(folder, `${name}.sock`),
  }));
  const request = {
    vmmPath: vmmPath(),
    config: JSON.stringify(config),
    channels,
    detached: config["detached"] === true,
  };
  return `
    const handle = require(${JSON.stringify(addon)}).bootMicroVm(${JSON.stringify(request)}, (line) => {
      const { stage, pid } = JSON.parse(line);
      if (stage === "forked") ${say}({ supervisor: handle.pid, vm: pid });
    });
    setInterval(() => {}, 1000);`;
}

interface Pids {
  readonly supervisor: number;
  readonly vm: number;
}

async function startOwner(
  config: Record<string, unknown>,
  folder: string,
): Promise<Pids & { kill(): void }> {
  const code = ownerCode(config, folder, "((pids) => console.log(JSON.stringify(pids)))");
  const owner = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void owner.kill("SIGKILL"));
  const [line] = (await once(createInterface(owner.stdout), "line")) as [string];
  const pids = JSON.parse(line) as Pids;
  onTestFinished(() => {
    if (!isGone(pids.supervisor)) process.kill(pids.supervisor, "SIGKILL");
  });
  return { ...pids, kill: () => owner.kill("SIGKILL") };
}

const bothGone = (pids: Pids): boolean => isGone(pids.supervisor) && isGone(pids.vm);

describe("a VM process ends", () => {
  test("when its supervisor is killed", async () => {
    const vm = new TestVm(shellConfig("exec sleep 600"));
    const { pid = 0 } = await vm.stage("forked");
    await vm.stage("entering");
    vm.handle.kill("SIGKILL");
    expect(await vm.handle.exited).toEqual({ exitCode: null, signal: 9 });
    await until(() => isGone(pid));
  });

  test("when its owner is killed", async () => {
    const pids = await startOwner(shellConfig("exec sleep 600"), tempFolder());
    expect(bothGone(pids)).toBe(false);
    pids.kill();
    await until(() => bothGone(pids));
  });

  test("when the Worker that owns it is terminated", async () => {
    const code = ownerCode(
      shellConfig("exec sleep 600"),
      tempFolder(),
      'require("node:worker_threads").parentPort.postMessage',
    );
    const worker = new Worker(code, { eval: true });
    const [pids] = (await once(worker, "message")) as [Pids];
    expect(bothGone(pids)).toBe(false);
    await worker.terminate();
    await until(() => bothGone(pids));
  });

  test("when its Worker is terminated at any moment, and the process goes on", async () => {
    const all: Pids[] = [];
    for (let i = 0; i < 20; i++) {
      const code = ownerCode(
        shellConfig("while :; do printf x >&4; done"),
        tempFolder(),
        'require("node:worker_threads").parentPort.postMessage',
      );
      const worker = new Worker(code, { eval: true });
      worker.on("message", (pids: Pids) => all.push(pids));
      await sleep(40 + 3 * i);
      await worker.terminate();
    }
    await until(() => all.every(bothGone));
    expect(all.length).toBeGreaterThan(0);
  });

  test("when the supervisor gets SIGTERM", async () => {
    const vm = new TestVm(shellConfig("trap '' TERM; exec sleep 600"));
    await vm.stage("entering");
    expect(vm.handle.kill("SIGTERM")).toBe(true);
    expect(await vm.end()).toMatchObject({ stage: "exited", reason: "terminated", signal: 9 });
    expect(await vm.handle.exited).toEqual({ exitCode: 0, signal: null });
    expect(vm.handle.kill("SIGTERM")).toBe(false);
    expect(vm.handle.kill(0)).toBe(false);
  });

  test("when its lease runs out, counted from the start", async () => {
    const vm = new TestVm(shellConfig("exec sleep 600", { leaseMs: 150 }));
    const end = await vm.end();
    expect(end).toMatchObject({ stage: "exited", reason: "lease", signal: 9 });
    expect(end.atMs).toBeGreaterThanOrEqual(150);
  });

  test("when its lease runs out, counted from the last connection", async () => {
    const vm = new TestVm(shellConfig("exec sleep 600", { leaseMs: 200 }));
    const host = await vm.connect("agent");
    await sleep(600);
    expect(vm.lines.at(-1)?.stage).toBe("entering");
    host.socket.destroy();
    expect(await vm.end()).toMatchObject({ reason: "lease" });
  });
});

test("a VM process that is killed is reported as killed", async () => {
  const vm = new TestVm(shellConfig("exec sleep 600"));
  const { pid = 0 } = await vm.stage("forked");
  await vm.stage("entering");
  process.kill(pid, "SIGKILL");
  expect(await vm.end()).toMatchObject({ stage: "exited", reason: "killed", signal: 9 });
});

test("a detached VM outlives its owner, serves the next one, and ends with its lease", async () => {
  const folder = tempFolder();
  const config = shellConfig("exec cat <&3 >&3", { detached: true, leaseMs: 1_000 });
  const pids = await startOwner(config, folder);
  pids.kill();
  const next = await TestHost.connect(join(folder, "agent.sock"));
  await sleep(1_500);
  expect(bothGone(pids)).toBe(false);
  next.socket.write("still here?");
  await until(() => next.text === "still here?");
  next.socket.destroy();
  await until(() => bothGone(pids));
});

test("an unreferenced VM does not keep its owner's event loop running", async () => {
  const code = `${ownerCode(shellConfig("exec sleep 600"), tempFolder(), "((pids) => {})").replace(/setInterval.*$/s, "")}
    handle.unref(); handle.ref(); handle.release();`;
  const owner = spawn(process.execPath, ["-e", code], { stdio: "inherit" });
  onTestFinished(() => void owner.kill("SIGKILL"));
  expect(await once(owner, "exit")).toEqual([0, null]);
});

test("an event callback that throws is an uncaught exception of its owner, not a crash", async () => {
  const code = ownerCode(
    shellConfig("exec sleep 600"),
    tempFolder(),
    "((pids) => { throw new Error('mine'); })",
  );
  const owner = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "ignore", "pipe"] });
  onTestFinished(() => void owner.kill("SIGKILL"));
  let text = "";
  owner.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const [exitCode] = (await once(owner, "close")) as [number];
  expect(exitCode).toBe(1);
  expect(text).toContain("Error: mine");
});

test("a kill with a nonsense signal is a TypeError", () => {
  const vm = new TestVm(shellConfig("exec sleep 600"));
  expect(() => vm.handle.kill("SIGNONSENSE" as never)).toThrow(TypeError);
  expect(() => vm.handle.kill(-1)).toThrow(TypeError);
});

test("a VM needs no channels", async () => {
  const vm = new TestVm(shellConfig("exit 3", { channels: [] }));
  expect(await vm.end()).toMatchObject({ exitCode: 3, reason: "guest" });
});
