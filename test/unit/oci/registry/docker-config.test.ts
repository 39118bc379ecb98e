import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { dockerCredentials } from "../../../../src/oci/registry/docker-config.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const auth = (pair: string) => Buffer.from(pair).toString("base64");
const password = (username: string, secret: string) => ({
  kind: "password",
  username,
  password: secret,
});

/** What is found for `registry` with this config.json, and these helpers in PATH. */
async function lookup(
  config: unknown,
  registry: string,
  helpers: Readonly<Record<string, string>> = {},
) {
  const dir = await tempDir();
  const text = typeof config === "string" ? config : JSON.stringify(config);
  await writeFile(join(dir, "config.json"), text);
  for (const [name, script] of Object.entries(helpers)) {
    const path = join(dir, `docker-credential-${name}`);
    await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const found = await dockerCredentials(registry, {
    DOCKER_CONFIG: dir,
    PATH: `${dir}:/usr/bin:/bin`,
  });
  expect(JSON.stringify(found.problems)).not.toContain("s3cret");
  return found;
}

describe("auths", () => {
  it.each([
    [{ "ghcr.io": { auth: auth("u:p:q") } }, "ghcr.io", password("u", "p:q")],
    [{ "https://index.docker.io/v1/": { auth: auth("u:p") } }, "docker.io", password("u", "p")],
    [{ "docker.io": { auth: auth("u:p") } }, "docker.io", password("u", "p")],
    [{ "https://GHCR.io/v2/": { auth: auth("u:p") } }, "ghcr.io", password("u", "p")],
    [{ "http://a.b:5000": { auth: auth("u:p") } }, "a.b:5000", password("u", "p")],
    [{ "a.b": { username: "u", password: "p" } }, "a.b", password("u", "p")],
    [{ "a.b": { auth: auth("u:p\0\0") } }, "a.b", password("u", "p")],
    [
      { "a.b": { auth: auth("u:p"), identitytoken: "t" } },
      "a.b",
      { kind: "identityToken", token: "t" },
    ],
    // The more exact key counts.
    [
      { "https://a.b": { auth: auth("x:x") }, "a.b": { auth: auth("u:p") } },
      "a.b",
      password("u", "p"),
    ],
    [{ "a.b": { auth: auth("u:p") } }, "a.b:5000", undefined],
    [{ "a.b": { auth: auth("u:p") } }, "x.a.b", undefined],
    [{ "a.b": {} }, "a.b", undefined],
    [{ "a.b": null }, "a.b", undefined],
    [{ "a.b": { auth: 3, username: "u" } }, "a.b", undefined],
    [[], "a.b", undefined],
  ])("%j for %s", async (auths, registry, credentials) => {
    const found = await lookup({ auths }, registry);
    expect(found.credentials).toEqual(credentials);
    expect(found.problems).toEqual([]);
  });

  it("that cannot be read are a problem, not an error", async () => {
    const broken = await lookup({ auths: { "a.b": { auth: auth("s3cret") } } }, "a.b");
    expect(broken.credentials).toBeUndefined();
    expect(broken.problems).toEqual([expect.stringMatching(/entry for a\.b in .* no user name/)]);
    for (const config of ['{"auths": s3cret', '["s3cret"]', '"s3cret"', "null"]) {
      const { problems } = await lookup(config, "a.b");
      expect(problems).toEqual([expect.stringContaining("is not a JSON object")]);
    }
  });

  it("of a file that is not there are none", async () => {
    const dir = await tempDir();
    const found = await dockerCredentials("a.b", { HOME: dir });
    const source = join(dir, ".docker/config.json");
    expect(found).toEqual({ credentials: undefined, source, problems: [] });
    await mkdir(source, { recursive: true });
    expect((await dockerCredentials("a.b", { HOME: dir })).problems).toHaveLength(1);
  });
});

describe("a helper", () => {
  const echo = (answer: unknown) => `cat > /dev/null; echo '${JSON.stringify(answer)}'`;
  const answer = echo({ ServerURL: "x", Username: "u", Secret: "s3cret" });

  it("is asked with `get` and the server on its input", async () => {
    const script = `[ "$*:$(cat)" = "get:ghcr.io" ] && ${answer}`;
    const { credentials, source } = await lookup({ credsStore: "h" }, "ghcr.io", { h: script });
    expect(credentials).toEqual(password("u", "s3cret"));
    expect(source).toBe("docker-credential-h");
  });

  it("knows Docker Hub by its old URL", async () => {
    const script = `[ "$(cat)" = "https://index.docker.io/v1/" ] && ${answer}`;
    const config = { credHelpers: { "index.docker.io": "h" } };
    const { credentials } = await lookup(config, "docker.io", { h: script });
    expect(credentials).toEqual(password("u", "s3cret"));
  });

  it("may answer with an identity token", async () => {
    const script = echo({ Username: "<token>", Secret: "s3cret" });
    const { credentials } = await lookup({ credsStore: "h" }, "a.b", { h: script });
    expect(credentials).toEqual({ kind: "identityToken", token: "s3cret" });
  });

  it("of one registry comes before that of all, and both before auths", async () => {
    const config = {
      credHelpers: { "a.b": "own" },
      credsStore: "all",
      auths: { "c.d": { auth: auth("file:x") }, "a.b": { auth: auth("file:x") } },
    };
    const own = echo({ Username: "own", Secret: "x" });
    const all = echo({ Username: "all", Secret: "x" });
    expect((await lookup(config, "a.b", { own, all })).credentials).toEqual(password("own", "x"));
    expect((await lookup(config, "c.d", { own, all })).credentials).toEqual(password("all", "x"));
  });

  it("that has none leaves it to auths", async () => {
    const config = { credsStore: "h", auths: { "a.b": { auth: auth("u:p") } } };
    const none = "cat > /dev/null; echo 'credentials not found in native keychain'; exit 1";
    const found = await lookup(config, "a.b", { h: none });
    expect(found.credentials).toEqual(password("u", "p"));
    expect(found.problems).toEqual([]);
  });

  it.each([
    ["fails", "echo s3cret; echo s3cret >&2; exit 3", /docker-credential-h ended with 3/],
    ["dies", "kill -9 $$", /ended with SIGKILL/],
    ["answers with garbage", "echo s3cret", /does not answer with credentials/],
    ["answers with half", echo({ Username: "u" }), /does not answer with credentials/],
    ["does not read its input", "exec <&-; exit 1", /ended with 1/],
  ])("that %s is a problem that names it", async (_, script, problem) => {
    const found = await lookup({ credsStore: "h" }, "a.b", { h: script });
    expect(found.credentials).toBeUndefined();
    expect(found.problems).toEqual([expect.stringMatching(problem)]);
  });

  it.each(["absent", "../../bin/sh", "a/b", "a b", "\u001b[2J"])(
    "called %j is not started",
    async (name) => {
      const { problems } = await lookup({ credsStore: name }, "a.b");
      expect(problems).toEqual([expect.stringMatching(/which Docker's config.json names/)]);
      expect(problems[0]).not.toContain("\u001b");
    },
  );
});

test("what is not of the expected kind is as good as absent", async () => {
  const config = { auths: "x", credHelpers: [1], credsStore: { a: 1 } };
  expect((await lookup(config, "a.b")).credentials).toBeUndefined();
});
