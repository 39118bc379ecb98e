import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Authorizer } from "../../../../src/oci/registry/authorizer.js";
import { type Challenge, parseChallenges } from "../../../../src/oci/registry/challenge.js";
import { DEFAULT_TIMEOUTS } from "../../../../src/oci/registry/dispatcher.js";
import { endpointsOf } from "../../../../src/oci/registry/endpoint.js";
import { EMPTY_SETTINGS, type RegistrySettings } from "../../../../src/settings.js";
import { mockConnections } from "../../../helpers/mock-connections.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const REALM = "https://auth.example/token";
const BEARER = parseChallenges([`Bearer realm="${REALM}"`]);
const BASIC = parseChallenges(['Basic realm="x"']);
const USER = { username: "u", password: "hunter2" };

function setUp(registry: RegistrySettings = {}) {
  const mock = mockConnections();
  const settings = { ...EMPTY_SETTINGS, registries: { "a.b": registry } };
  const state = { nowMs: 0 };
  const closed = new AbortController();
  const authorizer = new Authorizer({
    endpoint: endpointsOf("a.b", settings).at(-1)!,
    connections: mock.connections,
    settings,
    env: { DOCKER_CONFIG: "/nowhere" },
    timeouts: DEFAULT_TIMEOUTS,
    clock: { now: () => state.nowMs, sleep: () => Promise.resolve(), random: () => 0 },
    closed: closed.signal,
  });
  const answer = (
    challenges: readonly Challenge[],
    more: Partial<Parameters<Authorizer["answer"]>[2]> = {},
  ) => authorizer.answer(challenges, "r", { refused: undefined, what: "It", ...more });
  let tokens = 0;
  const expectToken = (repository: string, fields: object = {}) => {
    const query = `scope=${encodeURIComponent(`repository:${repository}:pull`)}`;
    const account = registry.username === undefined ? "" : `&account=${registry.username}`;
    const body = JSON.stringify({ token: `token-${++tokens}`, ...fields });
    mock.answer(`${REALM}?${query}${account}`, { body });
  };
  return { authorizer, answer, expectToken, state, closed, seen: mock.seen };
}

describe("Bearer", () => {
  it("is kept for its repository until shortly before it runs out", async () => {
    const { authorizer, answer, expectToken, state } = setUp();
    expect(authorizer.current("r")).toBeUndefined();
    expectToken("r", { expires_in: 100 });
    const first = await answer(BEARER);
    expect(first.value).toBe("Bearer token-1");
    expect(first.secrets).toEqual(["token-1"]);
    expect(authorizer.current("r")).toBe(first);
    expect(authorizer.current("other")).toBeUndefined();
    state.nowMs = 94_999;
    expect(authorizer.current("r")).toBe(first);
    state.nowMs = 95_000;
    expect(authorizer.current("r")).toBeUndefined();
  });

  it("is asked for once by all who wait, and a caller that leaves takes nobody along", async () => {
    const { answer, expectToken, seen } = setUp(USER);
    expectToken("r");
    const controller = new AbortController();
    const gone = answer(BEARER, { signal: controller.signal });
    const others = [answer(BEARER), answer(BEARER)];
    controller.abort();
    await expect(gone).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    const values = (await Promise.all(others)).map(({ value }) => value);
    expect(values).toEqual(["Bearer token-1", "Bearer token-1"]);
    expect(seen).toHaveLength(1);
  });

  it("that was refused is not given again, but one that came meanwhile is", async () => {
    const { answer, expectToken, seen } = setUp();
    expectToken("r");
    const first = await answer(BEARER);
    expectToken("r");
    const second = await answer(BEARER, { refused: first });
    expect(second.value).toBe("Bearer token-2");
    expect(await answer(BEARER, { refused: first })).toBe(second);
    expect(seen).toHaveLength(2);
  });

  it("comes before Basic, and without credentials, too", async () => {
    const { answer, expectToken } = setUp();
    expectToken("r");
    expect((await answer([...BASIC, ...BEARER])).value).toBe("Bearer token-1");
  });

  it("ends for all when the client is closed", async () => {
    const { answer, closed } = setUp();
    closed.abort();
    await expect(answer(BEARER)).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  });
});

describe("Basic", () => {
  it("is given once; a refusal is final", async () => {
    const { authorizer, answer } = setUp(USER);
    const given = await answer(BASIC);
    expect(given.value).toBe(`Basic ${Buffer.from("u:hunter2").toString("base64")}`);
    expect(authorizer.current("r")).toBe(given);
    const again = answer(BASIC, { refused: given });
    await expect(again).rejects.toMatchObject({
      code: "MSB_ERR_REGISTRY_AUTH",
      message: expect.stringMatching(/refuses the password(?!.*hunter2).*settings\.json/) as string,
    });
  });

  it("is looked up anew some time after a refusal, because people log in", async () => {
    const passwordFile = join(await tempDir(), "pw");
    await writeFile(passwordFile, "old", { mode: 0o600 });
    const { answer, state } = setUp({ username: "u", passwordFile });
    const old = await answer(BASIC);
    await writeFile(passwordFile, "new");
    await expect(answer(BASIC, { refused: old })).rejects.toThrow("refuses the password");
    state.nowMs = 30_000;
    const given = await answer(BASIC, { refused: old });
    expect(given.value).toBe(`Basic ${Buffer.from("u:new").toString("base64")}`);
  });

  it.each([{}, { identityToken: "t" }])("cannot be given with %j", async (registry) => {
    await expect(setUp(registry).answer(BASIC)).rejects.toMatchObject({
      code: "MSB_ERR_REGISTRY_AUTH",
      message: expect.stringContaining("needs a user name and password") as string,
    });
  });
});

it.each([
  [[], /without saying how/],
  [["Bearer"], /by bearer/],
  [["Negotiate", 'Digest realm="x"'], /by negotiate, digest/],
])("the challenges %j are told", async (lines, message) => {
  await expect(setUp(USER).answer(parseChallenges(lines))).rejects.toMatchObject({
    code: "MSB_ERR_REGISTRY_AUTH",
    message: expect.stringMatching(message) as string,
  });
});
