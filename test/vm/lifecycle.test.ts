import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentClient } from "../../src/agent/agent-client.js";
import type { AutoDriver } from "../../src/hypervisor/auto-driver.js";
import { openHypervisor } from "../../src/hypervisor/open.js";
import { Guest } from "../../src/sandbox/guest.js";
import { BOOT_TIMEOUT_MS, testDrivers, VmFixture, vmFolders } from "../helpers/vm-fixture.js";
import { childrenOf, isRunning } from "../helpers/processes.js";

describe.each(testDrivers)("a microVM under %s", (driver) => {
  let fixture: VmFixture;

  beforeAll(async () => {
    fixture = await VmFixture.open(driver);
  });
  afterAll(() => fixture?.dispose());

  async function output(guest: Guest, script: string): Promise<string> {
    const session = await guest.agent.exec(["sh", "-c", script]);
    return (await session.collect()).stdout.toString().trim();
  }

  it("shows the guest its memory, vCPUs, hostname, clock, writable root and no network", async () => {
    const guest = await fixture.boot({ vcpuCount: 2, memoryMiB: 320 }, { hostname: "box" });
    const total = Number(await output(guest, "awk '/MemTotal/ {print $2}' /proc/meminfo"));
    expect(total / 1024).toBeGreaterThan(320 * 0.75);
    expect(total / 1024).toBeLessThanOrEqual(320);
    expect(await output(guest, "nproc")).toBe("2");
    expect(await output(guest, "hostname")).toBe("box");
    expect(Math.abs(Number(await output(guest, "date +%s")) - Date.now() / 1000)).toBeLessThan(30);
    expect(await output(guest, "echo kept > /marker && cat /marker")).toBe("kept");
    // The kernel brings a dummy0 that leads nowhere.
    expect(await output(guest, "ls /sys/class/net | grep -v dummy0")).toBe("lo");
    expect(await output(guest, "cat /proc/1/comm")).toBe("msb-agent");
    expect(guest.vm.confinement).toContain("no_new_privs");
    const exit = await guest.stop();
    expect(exit.reason).toMatch(/guest|stopped/);
    expect(await isRunning(guest.vm.pid)).toBe(false);
  });

  it("cannot reach a port of the host", async () => {
    let connections = 0;
    const server = createServer(() => (connections += 1));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const guest = await fixture.boot();
    const nc = await guest.agent.exec(["nc", "-w", "3", "127.0.0.1", `${port}`]);
    const { exit } = await nc.collect();
    expect(exit.exitCode).not.toBe(0);
    expect(connections).toBe(0);
    await guest.vm.stop();
    server.close();
  });

  it("keeps its upper disk over a stop and start, and a second stop is harmless", async () => {
    const config = await fixture.config();
    const first = await Guest.boot(fixture.driver, config, { timeoutMs: BOOT_TIMEOUT_MS });
    expect(await output(first, "echo one > /kept; sync; cat /kept")).toBe("one");
    await Promise.all([first.stop(), first.stop()]);
    await first.stop();
    const second = await Guest.boot(fixture.driver, config, { timeoutMs: BOOT_TIMEOUT_MS });
    expect(await output(second, "cat /kept")).toBe("one");
    await second.stop();
    expect(await vmFolders()).not.toContain(config.id);
  });

  it("survives its own programs: out of memory, a full disk, a fork bomb", async () => {
    const guest = await fixture.boot({ upperMiB: 64 });
    const hog = await guest.agent.exec(["sh", "-c", "tail /dev/zero"]);
    const { exit } = await hog.collect();
    expect(exit).toMatchObject({ oomKilled: true });
    expect(exit.exitCode === 0).toBe(false);

    const full = await guest.agent.exec(["sh", "-c", "dd if=/dev/zero of=/big bs=1M count=200"]);
    const result = await full.collect();
    expect(result.stderr.toString()).toContain("No space left on device");
    expect(result.exit.exitCode).toBe(1);
    expect(await output(guest, "rm /big; echo freed > /small && cat /small")).toBe("freed");

    const bomb = await guest.agent.exec(["sh", "-c", "f() { f | f & }; f; sleep 60"], {
      timeoutMs: 3_000,
    });
    await bomb.collect();
    expect(await output(guest, "echo still here")).toBe("still here");
    const metrics = await guest.agent.metrics();
    expect(metrics.processes).toBeLessThan(20);
    expect(metrics.memory.totalBytes).toBeGreaterThan(128 * 1024 ** 2);
    expect(metrics.disk.totalBytes).toBeGreaterThan(32 * 1024 ** 2);
    expect(metrics.disk.totalBytes).toBeLessThan(64 * 1024 ** 2);
    expect(metrics.cpu.count).toBe(1);
    expect(metrics.cpu.busyUsec).toBeGreaterThan(0);
    await guest.stop();
  });

  it("says with the console's last lines that its kernel panicked", async () => {
    const guest = await fixture.boot();
    const session = await guest.agent.exec([
      "sh",
      "-c",
      "mount -t cgroup2 none /mnt 2>/dev/null; echo $$ > /mnt/cgroup.procs; echo 2 > /proc/sys/vm/panic_on_oom; " +
        "echo -1000 > /proc/self/oom_score_adj; mount -t tmpfs -o size=100% none /tmp; cat /dev/zero > /tmp/x",
    ]);
    await expect(session.collect()).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });
    const exit = await guest.vm.exited;
    expect(exit.reason).toBe("guest");
    expect(exit.consoleTail).toContain("Kernel panic");
    await expect(guest.agent.ping()).rejects.toThrow("Kernel panic");
  });

  it("reports a killed VMM, fails what waits, and leaves nothing", async () => {
    const guest = await fixture.boot();
    const waiting = await guest.agent.exec(["sleep", "60"]);
    const [vmPid] = await childrenOf(guest.vm.pid);
    process.kill(vmPid as number, "SIGKILL");
    await expect(waiting.exited).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });
    expect(await guest.vm.exited).toMatchObject({ reason: "killed", signal: 9 });

    const second = await fixture.boot();
    const [secondVmPid] = await childrenOf(second.vm.pid);
    process.kill(second.vm.pid, "SIGKILL");
    expect(await second.vm.exited).toMatchObject({ reason: "killed", signal: 9 });
    await expect.poll(() => isRunning(secondVmPid as number), { timeout: 5_000 }).toBe(false);
    expect(await vmFolders()).not.toContain(second.vm.id);
  });

  it("lets another client take over what an earlier one started", async () => {
    const guest = await fixture.boot();
    const session = await guest.agent.exec(["sh", "-c", "echo first; read x; echo got $x"], {
      stdin: true,
    });
    const iterator = session.output[Symbol.asyncIterator]();
    expect((await iterator.next()).value?.data.toString()).toBe("first\n");
    guest.agent.disconnect();

    await using successor = await AgentClient.connect(guest.vm.agentSocket, { nonce: guest.nonce });
    expect(successor.hello.state).toBe("ready");
    expect(successor.hello.execs).toMatchObject([{ stream: session.stream, running: true }]);
    const adopted = await successor.adopt(session.stream);
    await adopted.write(Buffer.from("this\n"));
    const { stdout, exit } = await adopted.collect();
    expect(stdout.toString()).toContain("got this\n");
    expect(exit.exitCode).toBe(0);
    await guest.vm.stop();
  });

  it("refuses a client with another nonce or of another generation", async () => {
    const guest = await fixture.boot();
    guest.agent.disconnect();
    await expect(
      AgentClient.connect(guest.vm.agentSocket, { nonce: "0".repeat(32) }),
    ).rejects.toMatchObject({
      code: "MSB_ERR_AGENT_FAILED",
    });
    await expect(
      AgentClient.connect(guest.vm.agentSocket, { nonce: guest.nonce, generation: 99 }),
    ).rejects.toMatchObject({ code: "MSB_ERR_GENERATION", details: { generation: 3 } });
    await guest.agent.reconnect();
    expect(await guest.agent.ping("again")).toBe("again");
    await guest.vm.stop();
  });

  it("is booted by auto with the driver that really works here, and the verdict is kept", async () => {
    const open = (): ReturnType<typeof openHypervisor> =>
      openHypervisor({ hypervisor: "auto", signOfLifeMs: BOOT_TIMEOUT_MS });
    const { libkrun } = fixture.hypervisor;
    const expected = (await libkrun.probe()).usable ? "libkrun" : "qemu";
    const auto = (await open()).driver;
    const config = await fixture.config();
    const guest = await Guest.boot(auto, config, { timeoutMs: BOOT_TIMEOUT_MS });
    expect(guest.vm.driver).toBe(expected);
    await guest.stop();
    const choice = await ((await open()).driver as AutoDriver).choose();
    expect(choice).toMatchObject({ driver: expected, isConfirmed: true });
    expect(choice.reason).not.toBe("");
  });

  it("ends a boot that is aborted or takes too long, without a trace", async () => {
    const config = await fixture.config();
    await expect(Guest.boot(fixture.driver, config, { timeoutMs: 50 })).rejects.toMatchObject({
      code: "MSB_ERR_BOOT_TIMEOUT",
    });
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 300);
    await expect(
      Guest.boot(fixture.driver, config, { signal: abort.signal, timeoutMs: BOOT_TIMEOUT_MS }),
    ).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect(await vmFolders()).not.toContain(config.id);
  });
});
