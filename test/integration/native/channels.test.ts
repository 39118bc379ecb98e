/** What msb-vmm carries between the VM process and host programs. */
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { shellConfig, TestVm, until } from "./vmm-fixture.js";

describe("the agent channel", () => {
  test("carries 8 MiB both ways unchanged", async () => {
    const vm = new TestVm(shellConfig("exec cat <&3 >&3"));
    const host = await vm.connect("agent");
    const sent = randomBytes(8 * 1024 * 1024);
    host.socket.write(sent);
    await until(
      () => host.chunks.reduce((sum, chunk) => sum + chunk.length, 0) >= sent.length,
      60_000,
    );
    expect(host.bytes.equals(sent)).toBe(true);
  });

  test("makes the VM wait while nobody is connected", async () => {
    const vm = new TestVm(
      shellConfig("head -c 1000000 /dev/urandom >&3; printf done >&4; read x <&3"),
    );
    const console = await vm.connect("console");
    await vm.stage("alive");
    await sleep(200);
    expect(console.text).toBe("");
    const host = await vm.connect("agent");
    await until(() => console.text === "done");
    await until(() => host.bytes.length === 1_000_000);
  });

  test("belongs to the newest connection", async () => {
    const vm = new TestVm(shellConfig("exec cat <&3 >&3"));
    const first = await vm.connect("agent");
    first.socket.write("one");
    await until(() => first.text === "one");
    const second = await vm.connect("agent");
    await until(() => first.isClosed);
    second.socket.write("two");
    await until(() => second.text === "two");
    expect(first.text).toBe("one");
  });

  test("works again after its host has gone", async () => {
    const vm = new TestVm(shellConfig("exec cat <&3 >&3"));
    for (let i = 0; i < 20; i++) {
      const host = await vm.connect("agent");
      host.socket.write(`hello ${i}`);
      const sent = `hello ${i}`;
      await until(() => host.bytes.length >= sent.length);
      expect(host.text).toBe(sent);
      host.socket.destroy();
    }
  });

  test("delivers what the VM wrote last, then closes", async () => {
    const vm = new TestVm(shellConfig("read x <&3; head -c 200000 /dev/urandom >&3"));
    const host = await vm.connect("agent");
    host.socket.write("go\n");
    await vm.handle.exited;
    await until(() => host.isClosed);
    expect(host.bytes.length).toBe(200_000);
  });

  test("does not hold up the end of a VM when its host reads nothing", async () => {
    const vm = new TestVm(shellConfig("head -c 100000000 /dev/urandom >&3"));
    const host = await vm.connect("agent");
    host.socket.pause();
    await vm.stage("alive");
    const begin = performance.now();
    vm.handle.kill("SIGTERM");
    expect(await vm.end()).toMatchObject({ stage: "exited", reason: "terminated", signal: 9 });
    expect(performance.now() - begin).toBeLessThan(2_500);
  });
});

describe("the console channel", () => {
  // 100 000 bytes of numbered lines, and a last one.
  const script = "seq -w 0 19999 | sed s/^.// >&4; echo last >&4; printf end >&3; read x <&3";
  const lines = Array.from(
    { length: 20_000 },
    (_, i) => `${String(i).padStart(5, "0").slice(1)}\n`,
  );
  const all = `${lines.join("")}last\n`;

  test("replays the last 64 KiB to each new host and then follows", async () => {
    const vm = new TestVm(shellConfig(`${script}; printf more >&4; read x <&3`));
    const agent = await vm.connect("agent");
    // The console is a pipe of its own, and may be behind.
    const first = await vm.connect("console");
    await until(() => agent.text === "end" && first.text.endsWith("last\n"));
    first.socket.destroy();
    for (let i = 0; i < 2; i++) {
      const host = await vm.connect("console");
      await until(() => host.bytes.length >= 65_536);
      expect(host.text).toBe(all.slice(-65_536));
      host.socket.destroy();
    }
    const follower = await vm.connect("console");
    await until(() => follower.bytes.length >= 65_536);
    agent.socket.write("go\n");
    await until(() => follower.text.endsWith("more"));
  });

  test("never makes the VM wait for a slow host, and drops input", async () => {
    const vm = new TestVm(
      shellConfig("head -c 20000000 /dev/urandom >&4; printf end >&3; read x <&3"),
    );
    const slow = await vm.connect("console");
    slow.socket.pause();
    slow.socket.write("ignored".repeat(1000));
    const agent = await vm.connect("agent");
    await until(() => agent.bytes.length >= 3, 30_000);
    expect(agent.text).toBe("end");
  });

  test("is complete after the VM has ended", async () => {
    const vm = new TestVm(shellConfig("seq 0 9999 >&4"));
    const host = await vm.connect("console");
    await vm.handle.exited;
    await until(() => host.isClosed);
    expect(host.text.endsWith("9998\n9999\n")).toBe(true);
  });
});

test("a channel of any other name is relayed in the config's order", async () => {
  const channels = ["console", "agent", "qmp"];
  const vm = new TestVm(shellConfig("printf c >&3; printf a >&4; exec cat <&5 >&5", { channels }));
  const hosts = await Promise.all(channels.map((name) => vm.connect(name)));
  hosts[2]?.socket.write("q");
  await until(() => hosts.every((host) => host.bytes.length > 0));
  expect(hosts.map((host) => host.text)).toEqual(["c", "a", "q"]);
});

test("the sockets are their owner's alone", () => {
  const vm = new TestVm(shellConfig("read x <&3"));
  expect(statSync(vm.socketPath("agent")).mode & 0o777).toBe(0o600);
});

test("the report goes through the stages in order and ends before `exited` resolves", async () => {
  const vm = new TestVm(shellConfig("printf x >&4; echo oops >&2; exit 7"));
  await vm.handle.exited;
  const stages = vm.lines.map((line) => line.stage);
  expect(stages).toEqual(["sanitized", "configured", "forked", "entering", "alive", "exited"]);
  expect(vm.lines.at(-1)).toMatchObject({ exitCode: 7, reason: "guest", stderrTail: "oops\n" });
  const times = vm.lines.map((line) => line.atMs);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});

test("of a long standard error the last 4 KiB are kept", async () => {
  const vm = new TestVm(shellConfig("seq 0 9999 >&2"));
  const { stderrTail = "" } = await vm.end();
  expect(stderrTail.length).toBe(4096);
  expect(stderrTail.endsWith("9999\n")).toBe(true);
});
