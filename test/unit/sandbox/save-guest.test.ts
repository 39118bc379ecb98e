import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AgentClient } from "../../../src/agent/agent-client.js";
import { MsbError } from "../../../src/errors.js";
import type { SavedVm, VmConfig, VmSaving } from "../../../src/hypervisor/driver.js";
import { saveGuest } from "../../../src/sandbox/save-guest.js";
import { FakeAgent } from "../../helpers/fake-agent.js";
import { fakeConfig, FakeVm } from "../../helpers/fake-driver.js";

const HOW = { hostname: "template", timeoutMs: 5_000 };
const DAY_MS = 24 * 3600 * 1000;
const SAVED = { memoryBytes: 1 } as SavedVm;

describe("a guest that is kept", () => {
  let agent: FakeAgent;
  let vm: FakeVm;
  let configs: VmConfig[];
  let save: (opts?: { signal?: AbortSignal }) => Promise<SavedVm>;
  beforeEach(async () => {
    agent = await FakeAgent.start();
    agent.on("core.setup", () => ({ timings: [] }));
    vm = new FakeVm("fake", "qemu", agent.socketPath);
    agent.on("core.shutdown", () => (setImmediate(() => vm.end()), {}));
    configs = [];
    save = async () => SAVED;
  });
  afterEach(() => agent.stop());

  const saving: Pick<VmSaving, "boot"> = {
    boot: async (config) => {
      configs.push(config);
      return Object.assign(vm, { save: (opts?: { signal?: AbortSignal }) => save(opts) });
    },
  };
  const setup = () => agent.requests.find(({ type }) => type === "core.setup")?.fields;

  it("is what its preparation left, with the nonce that it had", async () => {
    const { saved, prepared } = await saveGuest(saving, fakeConfig, async () => "ready", HOW);
    expect(configs).toEqual([fakeConfig]);
    expect(prepared).toBe("ready");
    expect(saved).toEqual({ vm: SAVED, nonce: agent.requests[0]?.fields["nonce"] });
    expect(setup()).toMatchObject({ hostname: "template" });
    expect(vm.stops).toBe(1);
  });

  it("has the time of a day ago, so that the clock leaps for its copies", async () => {
    const before = Date.now();
    await saveGuest(saving, fakeConfig, async () => {}, HOW);
    const clockMs = Number(setup()?.["clockMs"]);
    expect(clockMs).toBeGreaterThanOrEqual(before - DAY_MS);
    expect(clockMs).toBeLessThanOrEqual(Date.now() - DAY_MS);
  });

  it("has no connection when it is saved, and none comes back", async () => {
    let client: AgentClient | undefined;
    let wasConnected: boolean | undefined;
    save = async () => {
      wasConnected = client?.isConnected;
      return SAVED;
    };
    await saveGuest(saving, fakeConfig, async (its) => void (client = its), HOW);
    expect([wasConnected, client?.isConnectionWanted]).toEqual([false, false]);
  });

  it("whose preparation fails is ended and not saved", async () => {
    const broken = new Error("no interpreter");
    let saves = 0;
    save = async () => (saves++, SAVED);
    const fail = async (): Promise<never> => {
      throw broken;
    };
    await expect(saveGuest(saving, fakeConfig, fail, HOW)).rejects.toBe(broken);
    expect([saves, vm.stops]).toEqual([0, 1]);
  });

  it("that cannot be saved is ended, and the error is the driver's", async () => {
    const broken = new MsbError("MSB_ERR_SNAPSHOT_FAILED", "no room");
    save = async () => {
      throw broken;
    };
    await expect(saveGuest(saving, fakeConfig, async () => {}, HOW)).rejects.toBe(broken);
    expect(vm.stops).toBe(1);
  });

  it("is saved as long as its caller waits", async () => {
    const { signal } = new AbortController();
    let seen: AbortSignal | undefined;
    save = async (opts) => ((seen = opts?.signal), SAVED);
    await saveGuest(saving, fakeConfig, async () => {}, { ...HOW, signal });
    expect(seen).toBe(signal);
  });
});
