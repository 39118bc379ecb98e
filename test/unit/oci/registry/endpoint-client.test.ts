import { expect, onTestFinished, test } from "vitest";
import { DEFAULT_TIMEOUTS } from "../../../../src/oci/registry/dispatcher.js";
import { endpointsOf } from "../../../../src/oci/registry/endpoint.js";
import { EndpointClient, type GetRequest } from "../../../../src/oci/registry/endpoint-client.js";
import { EMPTY_SETTINGS } from "../../../../src/settings.js";
import { mockConnections } from "../../../helpers/mock-connections.js";

const URL_OF_X = "https://a.b/v2/folder/r/x";
const BASIC = { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } };
const CREDENTIALS = `Basic ${Buffer.from("u:hunter2").toString("base64")}`;

async function setUp() {
  const mock = mockConnections();
  const registries = {
    "origin.example": { mirrors: ["a.b/folder"] },
    "a.b": { username: "u", password: "hunter2" },
  };
  const settings = { ...EMPTY_SETTINGS, registries };
  const client = await EndpointClient.open(endpointsOf("origin.example", settings)[0]!, {
    settings,
    env: {},
    timeouts: DEFAULT_TIMEOUTS,
    clock: { now: () => 0, sleep: () => Promise.resolve(), random: () => 0 },
    closed: new AbortController().signal,
    openConnections: () => Promise.resolve(mock.connections),
  });
  onTestFinished(() => client[Symbol.asyncDispose]());
  const get = (more: Partial<GetRequest> = {}) =>
    client.get({ repository: "r", path: "x", headers: {}, statuses: [200], what: "It", ...more });
  return { ...mock, get };
}

test("credentials are sent when they were asked for, and from then on", async () => {
  const { get, answer, seen } = await setUp();
  answer(URL_OF_X, BASIC);
  answer(URL_OF_X, {});
  answer(URL_OF_X, {});
  expect((await get()).status).toBe(200);
  expect((await get()).status).toBe(200);
  expect(seen.map(({ headers }) => headers["authorization"])).toEqual([
    undefined,
    CREDENTIALS,
    CREDENTIALS,
  ]);
});

test("credentials that are refused are an error, after one more try", async () => {
  const { get, answer, seen } = await setUp();
  answer(URL_OF_X, BASIC);
  answer(URL_OF_X, { ...BASIC, body: '{"errors":[{"code":"NO","message":"u:hunter2"}]}' });
  await expect(get()).rejects.toMatchObject({
    code: "MSB_ERR_REGISTRY_AUTH",
    message: expect.stringContaining("NO: u:***. The credentials for a.b are from") as string,
  });
  expect(seen).toHaveLength(2);
});

test("a challenge from where the registry redirects to is an error, and no credentials are sent", async () => {
  const { get, answer, seen } = await setUp();
  answer(URL_OF_X, { status: 307, headers: { location: "https://cdn.example/x?sig=1" } });
  answer("https://cdn.example/x?sig=1", BASIC);
  await expect(get()).rejects.toMatchObject({
    code: "MSB_ERR_REGISTRY",
    message: expect.stringContaining("refused by cdn.example, where a.b keeps it") as string,
  });
  expect(seen.map(({ headers }) => headers["authorization"])).toEqual([undefined, undefined]);
});

test("only the statuses that are answers are answers", async () => {
  const { get, answer } = await setUp();
  answer(URL_OF_X, { status: 206 });
  expect((await get({ statuses: [200, 206] })).status).toBe(206);
  answer(URL_OF_X, { status: 206 });
  await expect(get()).rejects.toMatchObject({ code: "MSB_ERR_REGISTRY" });
});

test.each([
  ["gzip", "MSB_ERR_REGISTRY"],
  ["identity", 200],
  ["Identity", 200],
])("a body in the coding %s gives %s", async (coding, outcome) => {
  const { get, answer } = await setUp();
  answer(URL_OF_X, { headers: { "content-encoding": coding } });
  const found = await get().then(
    ({ status }) => status,
    (error: unknown) => (error as { code: string }).code,
  );
  expect(found).toBe(outcome);
});
