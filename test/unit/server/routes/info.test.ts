import { Value } from "@sinclair/typebox/value";
import { describe, expect, it } from "vitest";
import { InfoView } from "../../../../src/api/info.js";
import { ServerMetrics } from "../../../../src/server/metrics.js";
import { bearer, NAMESPACE_KEYS, testApp } from "../../../helpers/test-app.js";

describe("the server about itself", () => {
  it("is healthy for everybody", async () => {
    const { app } = await testApp({ authenticator: NAMESPACE_KEYS });
    const answer = await app.inject({ url: "/api/v1/health" });
    expect([answer.statusCode, answer.json()]).toEqual([200, { message: "Service is healthy" }]);
  });

  it("says what it is to any key", async () => {
    const { app, sandboxes } = await testApp({ authenticator: NAMESPACE_KEYS });
    sandboxes.add("default", "n1");
    expect((await app.inject({ url: "/api/v1/info" })).statusCode).toBe(401);
    const info = (await app.inject({ url: "/api/v1/info", headers: bearer("team") })).json();
    expect(Value.Check(InfoView, info)).toBe(true);
    expect(info).toMatchObject({
      version: "1.2.3",
      nodeVersion: process.versions.node,
      hypervisor: { driver: "qemu", reason: "there is no /dev/kvm", isConfirmed: true },
      used: { sandboxes: 1, memoryMiB: 512, vcpus: 1 },
      counts: { running: 0, stopped: 0 },
    });
    const counts = async (key: string) =>
      (await app.inject({ url: "/api/v1/info", headers: bearer(key) })).json().counts;
    expect(await counts("default")).toMatchObject({ running: 1, stopped: 0 });
    expect(await counts("*")).toMatchObject({ running: 1, stopped: 0 });
  });

  it("has numbers for Prometheus, for keys of all namespaces", async () => {
    const metrics = new ServerMetrics();
    const { app, sandboxes } = await testApp({ authenticator: NAMESPACE_KEYS, metrics });
    sandboxes.add("default", "n1");
    metrics.onStartStage({ stage: "vm", durationMs: 300 });
    await app.inject({ url: "/api/v1/sandboxes/default/n1", headers: bearer("*") });
    await app.inject({ url: "/api/v1/sandboxes/default/n9", headers: bearer("*") });
    expect((await app.inject({ url: "/metrics", headers: bearer("team") })).statusCode).toBe(403);
    const answer = await app.inject({ url: "/metrics", headers: bearer("*") });
    expect(answer.headers["content-type"]).toMatch(/^text\/plain/);
    const lines = answer.body.split("\n");
    expect(lines).toContain('msb_sandboxes{state="running"} 1');
    expect(lines).toContain('msb_budget{resource="memory_mib"} 8192');
    expect(lines).toContain('msb_budget_used{resource="memory_mib"} 512');
    expect(lines).toContain('msb_start_stage_seconds_bucket{le="0.25",stage="vm"} 0');
    expect(lines).toContain('msb_start_stage_seconds_bucket{le="0.5",stage="vm"} 1');
    const route = 'method="GET",route="/api/v1/sandboxes/:namespace/:name"';
    expect(lines).toContain(`msb_http_request_duration_seconds_count{${route},status="200"} 1`);
    expect(lines).toContain(`msb_http_request_duration_seconds_count{${route},status="404"} 1`);
    expect(answer.body).toContain("process_cpu_seconds_total");
    expect(answer.body).not.toContain("n9");
  });
});
