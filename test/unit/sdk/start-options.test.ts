import { describe, expect, it } from "vitest";
import { startSpec } from "../../../src/sdk/start-options.js";
import { errorOf } from "../../helpers/sdk.js";

describe("what a sandbox is started with", () => {
  it("has the SDK's defaults", () => {
    expect(startSpec({}, "python")).toEqual({ image: "python", memoryMiB: 512, cpus: 1 });
  });

  it("is what the options say, in the units of the wire", () => {
    const opts = {
      image: "alpine",
      memory: 1024,
      cpus: 2.4,
      timeout: 5,
      env: { A: "1" },
      workdir: "/srv",
      user: "nobody",
      labels: { team: "blue" },
      diskMiB: 100,
      idleTimeout: 0,
      maxLifetime: 1.5,
    };
    expect(startSpec(opts, "python")).toEqual({
      image: "alpine",
      memoryMiB: 1024,
      cpus: 2,
      env: ["A=1"],
      workdir: "/srv",
      user: "nobody",
      labels: { team: "blue" },
      diskMiB: 100,
      idleTimeoutMs: 0,
      maxLifetimeMs: 1500,
    });
  });

  it.each([
    [0.1, 1],
    [1.49, 1],
    [1.5, 2],
  ])("has %s cpus as %s", (cpus, rounded) => {
    expect(startSpec({ cpus }, "python")).toMatchObject({ cpus: rounded });
  });

  it.each([0, -1, Number.NaN, Infinity])("does not have %s cpus", async (cpus) => {
    expect(await errorOf(() => startSpec({ cpus }, "python"))).toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option: "cpus" },
    });
  });

  it("is what is stored when nothing is said of it", () => {
    expect(startSpec({ timeout: 5, memory: undefined }, null)).toBeNull();
  });

  it("is not half of what is stored", async () => {
    const error = await errorOf(() => startSpec({ timeout: 5, memory: 100 }, null));
    expect(error).toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option: "memory" },
    });
  });
});
