import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentClient } from "../../../src/agent/agent-client.js";
import { keepAgent, type KeepAgentOpts } from "../../../src/sandbox/agent-keeper.js";
import { FakeAgent } from "../../helpers/fake-agent.js";
import { FakeVm } from "../../helpers/fake-driver.js";

const NONCE = "0123456789abcdef0123456789abcdef";
const QUICK: KeepAgentOpts = { waitsMs: [0, 10, 20], limitMs: 400 };

describe("a guest's agent that loses its connection", () => {
  let agent: FakeAgent;
  let vm: FakeVm;
  let client: AgentClient;
  beforeEach(async () => {
    agent = await FakeAgent.start();
    vm = new FakeVm("fake", "qemu", agent.socketPath);
    client = await AgentClient.connect(agent.socketPath, { nonce: NONCE, mayBeCutShort: false });
  });
  afterEach(async () => {
    client.close();
    await agent.stop();
  });

  const hellos = (): number => agent.requests.filter(({ type }) => type === "hello").length;

  it("is connected again by itself, as often as it happens", async () => {
    keepAgent(vm, client, { waitsMs: [0], limitMs: 80 });
    agent.on("core.ping", (request) => ({ data: request.fields["data"] }));
    for (let round = 2; round <= 4; round++) {
      await sleep(100);
      agent.dropConnection();
      await expect.poll(() => hellos()).toBe(round);
      await expect.poll(() => client.isConnected).toBe(true);
      expect(await client.ping(`round ${round}`)).toBe(`round ${round}`);
    }
    expect(vm.stops).toBe(0);
  });

  it("ends the VM when no connection lasts", async () => {
    keepAgent(vm, client, { waitsMs: [0, 1, 2], limitMs: 60_000 });
    agent.on("hello", () => {
      setTimeout(() => agent.dropConnection(), 10);
      return agent.hello;
    });
    agent.dropConnection();
    await vm.exited;
    expect(hellos()).toBe(4);
    expect(() => client.requireConnection()).toThrow(
      expect.objectContaining({ code: "MSB_ERR_AGENT_UNREACHABLE" }),
    );
  });

  it("ends the VM when it cannot be reached any more, and says why", async () => {
    keepAgent(vm, client, QUICK);
    agent.on("hello", () => undefined);
    agent.dropConnection();
    expect(await vm.exited).toMatchObject({ reason: "stopped" });
    expect(vm.stops).toBe(1);
    expect(() => client.requireConnection()).toThrow(
      expect.objectContaining({ code: "MSB_ERR_REQUEST_TIMEOUT" }),
    );
  });

  it("is not connected again after the guest broke the protocol: the VM is ended", async () => {
    keepAgent(vm, client, QUICK);
    agent.raw(Buffer.from("these are no frames"));
    await vm.exited;
    expect(hellos()).toBe(1);
    expect(() => client.requireConnection()).toThrow(
      expect.objectContaining({ code: "MSB_ERR_PROTOCOL" }),
    );
  });

  it("ends the VM when the guest breaks the protocol on the new connection", async () => {
    keepAgent(vm, client, QUICK);
    agent.on("hello", () => {
      agent.raw(Buffer.from("these are no frames"));
      return undefined;
    });
    agent.dropConnection();
    await vm.exited;
    expect(hellos()).toBe(2);
    expect(() => client.requireConnection()).toThrow(
      expect.objectContaining({ code: "MSB_ERR_PROTOCOL" }),
    );
  });

  it("stays as it is when it was disconnected or closed on purpose", async () => {
    keepAgent(vm, client, QUICK);
    client.disconnect();
    await sleep(60);
    expect(client.isConnectionWanted).toBe(false);
    expect(hellos()).toBe(1);
    await client.reconnect();
    agent.dropConnection();
    await expect.poll(() => hellos()).toBe(3);
    await expect.poll(() => client.isConnected).toBe(true);
    client.close();
    await sleep(60);
    expect(hellos()).toBe(3);
    expect(vm.stops).toBe(0);
  });

  it("is let be when the VM ends meanwhile", async () => {
    keepAgent(vm, client, { waitsMs: [0, 60_000], limitMs: 60_000 });
    agent.on("hello", () => undefined);
    agent.dropConnection();
    await expect.poll(() => hellos()).toBe(2);
    vm.end({ reason: "guest" });
    await sleep(60);
    expect(vm.stops).toBe(0);
    expect(await vm.exited).toMatchObject({ reason: "guest" });
  });
});
