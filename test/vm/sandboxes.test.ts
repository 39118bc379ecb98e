/** A sandbox manager with real microVMs: lives of sandboxes, one after the other and many at once. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openHypervisor } from "../../src/hypervisor/open.js";
import { openKernels } from "../../src/kernel/open-kernels.js";
import { Images } from "../../src/oci/images.js";
import { msbPaths, type MsbPaths } from "../../src/paths.js";
import { HypervisorGuests } from "../../src/sandbox/hypervisor-guests.js";
import type { SandboxManagerOpts } from "../../src/sandbox/manager-opts.js";
import { SandboxManager } from "../../src/sandbox/sandbox-manager.js";
import type { SandboxKey } from "../../src/sandbox/service.js";
import { EMPTY_SETTINGS } from "../../src/settings.js";
import { childrenOf, isRunning } from "../helpers/processes.js";
import { ServerHome } from "../helpers/server-home.js";
import { BUSYBOX_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { BOOT_TIMEOUT_MS, testDrivers } from "../helpers/vm-fixture.js";
import { rowsOf } from "../helpers/wire.js";

const SPEC = { image: BUSYBOX_IMAGE, memoryMiB: 192, cpus: 1, diskMiB: 64 };
const BUDGET = { sandboxes: 4, memoryMiB: 4 * 192, vcpus: 4 };
const NOTHING_USED = { sandboxes: 0, memoryMiB: 0, vcpus: 0 };
const MANY = 20;
const MANY_MS = 900_000;

/** Rows that run on the emulated KVM host, too. */
const ESSENTIAL = [
  "starts, runs commands, is measured, keeps its disk over a stop, and loses it with its removal",
  "is failed with the reason when its VMM is killed, and starts again with its disk",
];

describe.each(testDrivers)("a sandbox manager under %s", (driver) => {
  let home: ServerHome;
  let paths: MsbPaths;
  let opts: SandboxManagerOpts;
  let manager: SandboxManager;
  let images: Images;
  let count = 0;

  beforeAll(async () => {
    home = await ServerHome.make();
    paths = msbPaths(home.path);
    const env = { ...process.env, MSB_HOME: home.path };
    images = await Images.open({ paths, env, settings: EMPTY_SETTINGS });
    const hypervisor = await openHypervisor({ paths, env });
    opts = {
      paths,
      images,
      openKernels,
      guests: new HypervisorGuests({
        hypervisor: { ...hypervisor, driver: hypervisor[driver] },
        leaseMs: 120_000,
      }),
      bootTimeoutMs: BOOT_TIMEOUT_MS,
      budget: BUDGET,
    };
    manager = await SandboxManager.open(opts);
  });
  afterAll(async () => {
    await manager?.close({ sandboxes: "stop" });
    await images?.[Symbol.asyncDispose]();
    await home?.[Symbol.asyncDispose]();
  });

  const newKey = (): SandboxKey => ({ namespace: "vm", name: `box${++count}` });
  const sh = async (key: SandboxKey, script: string): Promise<string> => {
    const request = { command: "sh", args: ["-c", script], timeoutMs: 60_000 };
    const { lines } = await manager.runCommand(key, request);
    return lines.map(({ text }) => text).join("\n");
  };
  const python = async (key: SandboxKey, code: string): Promise<string> => {
    let stdout = "";
    for await (const event of manager.runCode(key, {
      language: "python",
      code,
      timeoutMs: 60_000,
    })) {
      if (event.type === "stdout") stdout += event.text;
    }
    return stdout;
  };
  const eventsOf = async (key: SandboxKey): Promise<string[]> => {
    const types: string[] = [];
    for await (const entry of manager.logs(key, { sources: ["events"] })) {
      if (entry.source === "events") types.push(entry.event.type);
    }
    return types;
  };
  const row = rowsOf(it, driver, ESSENTIAL);

  row(ESSENTIAL[0]!, async () => {
    const key = newKey();
    const info = await manager.start(key, SPEC);
    expect(info).toMatchObject({ state: "running", vm: { driver } });
    const { upperDisk } = paths.sandbox(key.namespace, key.name);
    expect(await sh(key, "echo kept > /file; sync; hostname")).toBe(key.name);
    // Busy for as long as the host can see.
    await manager.metrics(key);
    await sh(key, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    const metrics = await manager.metrics(key);
    expect(metrics).toMatchObject({ running: true, guest: { memoryTotalMiB: expect.any(Number) } });
    expect(metrics.cpuPercent).toBeGreaterThan(1);
    expect(metrics.memoryMiB).toBeGreaterThan(16);
    expect(metrics.diskBytes).toBeGreaterThan(0);

    await manager.stop(key);
    expect(await isRunning(info.vm!.pid)).toBe(false);
    expect(await manager.metrics(key)).toMatchObject({ running: false, cpuPercent: null });
    expect(manager.status().used).toEqual(NOTHING_USED);
    await manager.start(key, null);
    expect(await sh(key, "cat /file")).toBe("kept");

    await expect(manager.remove(key)).rejects.toMatchObject({ code: "MSB_ERR_INVALID_STATE" });
    await manager.remove(key, { force: true });
    expect(existsSync(upperDisk)).toBe(false);
    await manager.start(key, SPEC);
    expect(await sh(key, "cat /file 2>/dev/null || echo none")).toBe("none");
    await manager.remove(key, { force: true });
    expect(manager.list()).toEqual([]);
  });

  row(ESSENTIAL[1]!, async () => {
    const key = newKey();
    const info = await manager.start(key, SPEC);
    await sh(key, "echo kept > /file; sync");
    const sleeping = sh(key, "sleep 600").catch((error: { code: string }) => error.code);
    const [vmm, ...others] = await childrenOf(info.vm!.pid);
    expect(others).toEqual([]);
    process.kill(vmm!, "SIGKILL");
    expect(await sleeping).toBe("MSB_ERR_VM_EXITED");
    await expect.poll(() => manager.get(key).state, { timeout: 20_000 }).toBe("failed");
    const { failure } = manager.get(key);
    expect(failure?.code).toBe("MSB_ERR_VM_EXITED");
    expect(failure?.message).toMatch(/something else killed it \(signal 9/);
    expect(manager.status().used).toEqual(NOTHING_USED);
    expect(await manager.start(key, null)).toMatchObject({ state: "running", failure: null });
    expect(await sh(key, "cat /file")).toBe("kept");
    await manager.remove(key, { force: true });
  });

  row(
    "is stopped when nobody has used it for its idle time, and not while it is used",
    async () => {
      const key = newKey();
      await manager.start(key, { ...SPEC, idleTimeoutMs: 2_000 });
      expect(await sh(key, "sleep 4; echo still here")).toBe("still here");
      await expect.poll(() => manager.get(key).state, { timeout: 20_000 }).toBe("stopped");
      expect(await eventsOf(key)).toEqual(
        expect.arrayContaining(["created", "running", "idle-timeout", "stopping", "stopped"]),
      );
      await manager.remove(key);
    },
  );

  row("tells those for whom there is no room, and boots the rest", async () => {
    const keys = Array.from({ length: 12 }, newKey);
    const started = await Promise.allSettled(keys.map((key) => manager.start(key, SPEC)));
    const refused = started.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    expect(refused).toHaveLength(8);
    for (const error of refused) {
      expect(error).toMatchObject({
        code: "MSB_ERR_TOO_MANY_SANDBOXES",
        details: { retryAfterSeconds: expect.any(Number) },
      });
    }
    expect(manager.list()).toHaveLength(4);
    expect(manager.status().used).toEqual(BUDGET);
    await Promise.all(manager.list().map((one) => manager.remove(one, { force: true })));
    expect(manager.status().used).toEqual(NOTHING_USED);
  });

  row(
    `keeps its promises when ${MANY} sandboxes start, stop and go at once`,
    async () => {
      await manager.close({ sandboxes: "stop" });
      const budget = { sandboxes: MANY, memoryMiB: MANY * 192, vcpus: MANY };
      manager = await SandboxManager.open({ ...opts, budget, concurrentBoots: 4 });
      const keys = Array.from({ length: MANY }, newKey);
      const oneLife = async (key: SandboxKey, index: number): Promise<void> => {
        const starting = manager.start(key, SPEC).then(
          ({ state }) => state,
          (error: { code: string }) => error.code,
        );
        // Every fourth is called off while it starts.
        if (index % 4 === 3) {
          expect((await manager.stop(key)).state).toBe("stopped");
          expect(await starting).toBe("MSB_ERR_ABORTED");
        } else {
          expect(await starting).toBe("running");
          expect(await sh(key, `echo ${index}`)).toBe(`${index}`);
          expect((await manager.stop(key)).state).toBe("stopped");
        }
        await manager.remove(key);
      };
      await Promise.all(keys.map(oneLife));
      expect(manager.list()).toEqual([]);
      expect(manager.status().used).toEqual(NOTHING_USED);
      expect(await opts.guests.running()).toEqual([]);
      expect(await home.settled([])).toEqual([]);
    },
    MANY_MS,
  );

  row("lets go of what runs, for the next one to go on with", async () => {
    const key = newKey();
    const info = await manager.start(key, { ...SPEC, image: PYTHON_IMAGE });
    expect(await python(key, "kept = 6 * 7")).toBe("");
    const looping = python(key, "while True: pass").catch((error: { code: string }) => error.code);
    await expect.poll(() => manager.contexts(key)[0]?.state).toBe("busy");
    await manager.close({ sandboxes: "detach" });
    expect(await looping).toBe("MSB_ERR_SHUTTING_DOWN");
    expect(await isRunning(info.vm!.pid)).toBe(true);
    manager = await SandboxManager.open(opts);
    expect(manager.get(key)).toMatchObject({ state: "running", vm: { id: info.vm!.id } });
    expect(await python(key, "print(kept)")).toBe("42\n");
    await manager.remove(key, { force: true });
    expect(await home.settled([])).toEqual([]);
  });

  row.check();
});
