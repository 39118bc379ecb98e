/** A server is killed; its microVMs go on, and the next server finds them, or finds out how they ended. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { Guest } from "../../src/sandbox/guest.js";
import { HypervisorGuests } from "../../src/sandbox/hypervisor-guests.js";
import { isRunning } from "../helpers/processes.js";
import { Program } from "../helpers/program.js";
import { BOOT_TIMEOUT_MS, testDrivers, VmFixture } from "../helpers/vm-fixture.js";
import type { ServerJob, ServerSays } from "./server-program.js";

const LONG_LEASE_MS = 120_000;
const GONE_TIMEOUT_MS = 20_000;

describe.each(testDrivers)("a microVM under %s whose server was killed", (driver) => {
  let fixture: VmFixture;
  let guests: HypervisorGuests;
  beforeAll(async () => {
    fixture = await VmFixture.open(driver);
    guests = new HypervisorGuests({ hypervisor: fixture.hypervisor, leaseMs: LONG_LEASE_MS });
  });
  afterAll(() => fixture?.dispose());

  /** The VM of a server that was killed when `script` ran in it. */
  async function orphan(
    script: string,
    opts: { leaseMs?: number } = {},
  ): Promise<ServerSays & { id: string; folder: string }> {
    const config = await fixture.config();
    const job: ServerJob = {
      driver,
      config,
      leaseMs: opts.leaseMs ?? LONG_LEASE_MS,
      bootTimeoutMs: BOOT_TIMEOUT_MS,
      script,
    };
    const server = Program.start<ServerSays>("server-program.ts", import.meta.url, job);
    onTestFinished(() => guests.destroy(config.id));
    const says = await server.line();
    await server.kill();
    return { ...says, id: config.id, folder: fixture.hypervisor.paths.vmDir(config.id) };
  }

  const adopt = async (vm: { id: string; nonce: string }): Promise<Guest> => {
    const found = await guests.adopt(vm.id, { nonce: vm.nonce });
    if (!(found instanceof Guest)) throw new Error(`it has ended: ${JSON.stringify(found)}`);
    return found;
  };

  const isGone = async (pid: number): Promise<boolean> => !(await isRunning(pid));

  it("goes on with its programs, whose output is complete", async () => {
    const lines = 2_000;
    const vm = await orphan(
      `i=0; while [ $i -lt ${lines} ]; do echo line $i; i=$((i+1)); ` +
        "[ $((i % 200)) = 0 ] && sleep 0.5; done; echo kept > /marker; exit 7",
    );
    expect(await guests.running()).toContain(vm.id);
    const guest = await adopt(vm);
    expect(guest.vm).toMatchObject({ driver, pid: vm.supervisor, vmPid: vm.vm });
    expect(guest.vm.confinement).toContain("no_new_privs");
    expect(guest.agent.hello.execs).toMatchObject([{ stream: vm.stream, running: true }]);
    const session = await guest.agent.adopt(vm.stream);
    const { stdout, exit } = await session.collect();
    expect(exit.exitCode).toBe(7);
    const expected = Array.from({ length: lines }, (_, i) => `line ${i}\n`).join("");
    expect(stdout.toString()).toBe(expected);

    const cat = await guest.agent.exec(["cat", "/marker"]);
    expect((await cat.collect()).stdout.toString()).toBe("kept\n");
    let console = "";
    guest.vm.onConsole((bytes) => (console += bytes.toString()));
    const print = await guest.agent.exec(["sh", "-c", "echo to the console > /dev/console"]);
    await print.collect();
    await expect.poll(() => console, { timeout: 5_000 }).toContain("to the console");

    const exit2 = await guest.stop();
    expect(exit2.reason).toMatch(/guest|stopped/);
    expect(existsSync(vm.folder)).toBe(false);
  });

  it("is adopted a second time when the next server is killed, too", async () => {
    const vm = await orphan("sleep 600");
    const first = await adopt(vm);
    // What a killed process leaves: nothing was said to anybody.
    first.agent.disconnect();
    first.vm.release();
    const second = await adopt(vm);
    expect(await second.agent.ping("again")).toBe("again");
    expect(second.agent.hello.execs).toMatchObject([{ stream: vm.stream, running: true }]);
    await second.vm.stop();
  });

  it("tells the end of its lease from a power-off and from a kill", async () => {
    const lease = await orphan("sleep 600", { leaseMs: 1_000 });
    const off = await orphan("sleep 2; reboot -f");
    const killed = await orphan("sleep 600");
    process.kill(killed.vm, "SIGKILL");
    for (const [vm, end] of [
      [lease, { reason: "lease" }],
      [off, { reason: "guest", exitCode: 0 }],
      [killed, { reason: "killed", signal: 9 }],
    ] as const) {
      await expect.poll(() => isGone(vm.supervisor), { timeout: GONE_TIMEOUT_MS }).toBe(true);
      expect(await guests.running()).not.toContain(vm.id);
      expect(await guests.adopt(vm.id, { nonce: vm.nonce })).toMatchObject({ ended: end });
      expect(await guests.adopt(vm.id, { nonce: vm.nonce })).toEqual({ ended: null });
      expect(existsSync(vm.folder)).toBe(false);
    }
  });

  it("is refused to whoever has not its nonce, and destroyed without a trace", async () => {
    const vm = await orphan("sleep 600");
    await expect(guests.adopt(vm.id, { nonce: "0".repeat(32) })).rejects.toMatchObject({
      code: "MSB_ERR_AGENT_FAILED",
    });
    expect(await isRunning(vm.vm)).toBe(true);
    await guests.destroy(vm.id);
    expect(await isGone(vm.supervisor)).toBe(true);
    expect(await isGone(vm.vm)).toBe(true);
    expect(existsSync(vm.folder)).toBe(false);
    await guests.destroy(vm.id);
  });
});
