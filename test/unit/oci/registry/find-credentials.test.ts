import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findCredentials } from "../../../../src/oci/registry/find-credentials.js";
import { EMPTY_SETTINGS, type RegistrySettings } from "../../../../src/settings.js";
import { tempDir } from "../../../helpers/temp-dir.js";

async function find(registry: RegistrySettings | undefined) {
  const dir = await tempDir();
  const auth = Buffer.from("docker:pw").toString("base64");
  await writeFile(join(dir, "config.json"), JSON.stringify({ auths: { "a.b": { auth } } }));
  const registries = registry === undefined ? {} : { "a.b": registry };
  const settings = { ...EMPTY_SETTINGS, registries };
  return findCredentials("a.b", { settings, env: { DOCKER_CONFIG: dir } });
}

test("ours come before Docker's", async () => {
  const own = await find({ username: "own", password: "x" });
  expect(own).toEqual({
    credentials: { kind: "password", username: "own", password: "x" },
    source: "settings.json",
    problems: [],
  });
  const token = await find({ identityToken: "t" });
  expect(token.credentials).toEqual({ kind: "identityToken", token: "t" });
});

test.each([undefined, {}, { mirrors: ["m"] }])(
  "with %j in ours, Docker's are used",
  async (own) => {
    const found = await find(own);
    expect(found.credentials).toEqual({ kind: "password", username: "docker", password: "pw" });
    expect(found.source).toMatch(/config\.json$/);
  },
);

test("when there are none, every place is named", async () => {
  const env = { DOCKER_CONFIG: "/nowhere" };
  const found = await findCredentials("a.b", { settings: EMPTY_SETTINGS, env });
  expect(found).toEqual({
    credentials: undefined,
    source: "settings.json and /nowhere/config.json",
    problems: [],
  });
});

test("a password file has the password and nothing else", async () => {
  const passwordFile = join(await tempDir(), "pw");
  const registry = { username: "u", passwordFile };
  await expect(find(registry)).rejects.toThrow(/passwordFile of registries\["a\.b"\].*not there/);
  for (const [content, password] of [
    ["pw", "pw"],
    ["pw\n", "pw"],
    [" p w \r\n", " p w "],
    ["pw\n\n", "pw\n"],
  ]) {
    await writeFile(passwordFile, content!, { mode: 0o600 });
    expect((await find(registry)).credentials).toMatchObject({ password });
  }
  await writeFile(passwordFile, "\n");
  await expect(find(registry)).rejects.toMatchObject({ code: "MSB_ERR_SETTINGS_INVALID" });
});
