/** Pulling from a real registry, filled by a tool that is not ours. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { isMsbError, type MsbError } from "../../../src/errors.js";
import { digestOf } from "../../../src/oci/digest.js";
import { choosePlatform, parsePlatform } from "../../../src/oci/platform.js";
import { parseReference } from "../../../src/oci/reference.js";
import {
  RegistryClient,
  type RegistryClientOpts,
} from "../../../src/oci/registry/registry-client.js";
import { EMPTY_SETTINGS, type RegistrySettings } from "../../../src/settings.js";
import {
  type DockerRegistry,
  IDENTITY_TOKEN,
  PASSWORD,
  startDockerRegistry,
  USERNAME,
} from "../../helpers/docker-registry.js";
import { type OciLayout, writeOciLayout } from "../../helpers/oci-layout.js";
import { tempDir } from "../../helpers/temp-dir.js";

const LAYER = randomBytes(300_000);
const NO_DOCKER = { DOCKER_CONFIG: "/nowhere", PATH: "/usr/bin:/bin" };

let layout: OciLayout;
const registries = {} as Record<"none" | "basic" | "token", DockerRegistry>;

// What beforeAll starts; afterAll inside of it would not be run.
const ends: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const end of ends.toReversed()) await end();
});

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), "msb-test-layout-"));
  ends.push(() => rm(dir, { recursive: true, force: true }));
  layout = await writeOciLayout(dir, "t", [
    { architecture: "amd64", layers: [LAYER, Buffer.alloc(1024)] },
    { architecture: "arm64", layers: [Buffer.alloc(2048)] },
  ]);
  for (const auth of ["none", "basic", "token"] as const) {
    registries[auth] = await startDockerRegistry({ auth, onEnd: (end) => ends.push(end) });
    await registries[auth].push(dir, "t", "team/nested/image:1.0");
  }
});

function open(
  opts: Partial<RegistryClientOpts> & { registry?: RegistrySettings; host?: string } = {},
): RegistryClient {
  const { registry, host = "", ...rest } = opts;
  const client = RegistryClient.open({
    settings:
      registry === undefined
        ? EMPTY_SETTINGS
        : { ...EMPTY_SETTINGS, registries: { [host]: registry } },
    env: NO_DOCKER,
    ...rest,
  });
  onTestFinished(() => client[Symbol.asyncDispose]());
  return client;
}

const imageAt = (host: string, suffix = ":1.0") =>
  parseReference(`${host}/team/nested/image${suffix}`);

async function collect(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function failure(work: Promise<unknown>): Promise<MsbError> {
  const error: unknown = await work.then(
    () => new Error("it succeeded"),
    (caught: unknown) => caught,
  );
  if (isMsbError(error)) return error;
  throw error;
}

const withPassword = { username: USERNAME, password: PASSWORD };

describe.each(["none", "basic", "token"] as const)("a registry with auth %s", (auth) => {
  const client = () => {
    const { host } = registries[auth];
    return open(auth === "none" ? {} : { host, registry: withPassword });
  };

  it("gives the index, a manifest and blobs as they were pushed", async () => {
    const registry = client();
    const ref = imageAt(registries[auth].host);
    const index = await registry.getManifest(ref);
    expect(index.descriptor).toEqual(layout.root);
    expect(index.bytes).toEqual(layout.blob(layout.root.digest));
    if (index.document.kind !== "index") throw new Error("not an index");
    const chosen = choosePlatform(index.document.index, parsePlatform("linux/amd64"));
    const manifest = await registry.getManifest(ref, { digest: chosen.digest });
    if (manifest.document.kind !== "manifest") throw new Error("not a manifest");
    const { config, layers } = manifest.document.manifest;
    for (const descriptor of [config, ...layers]) {
      const blob = await registry.openBlob(ref, descriptor);
      expect(blob.offset).toBe(0);
      expect((await collect(blob.body)).equals(layout.blob(descriptor.digest))).toBe(true);
    }
    const byDigest = imageAt(registries[auth].host, `@${chosen.digest}`);
    expect((await registry.getManifest(byDigest)).bytes).toEqual(manifest.bytes);
  });

  it("goes on with a blob where it was left", async () => {
    const registry = client();
    const ref = imageAt(registries[auth].host);
    const layer = layout.manifests[0]!.layers[0]!;
    const whole = layout.blob(layer.digest);
    for (const offset of [1, 65_536, layer.size - 1, layer.size]) {
      const blob = await registry.openBlob(ref, layer, { offset });
      expect(blob.offset).toBe(offset);
      expect((await collect(blob.body)).equals(whole.subarray(offset))).toBe(true);
    }
  });

  it("says what is not there", async () => {
    const registry = client();
    const { host } = registries[auth];
    const tag = await failure(registry.getManifest(imageAt(host, ":no")));
    expect(tag).toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
      message: expect.stringMatching(/nested\/image:no is not at.*MANIFEST_UNKNOWN/) as string,
    });
    const absent = { ...layout.root, digest: digestOf(Buffer.from("absent")) };
    const blob = await failure(registry.openBlob(imageAt(host), absent));
    expect(blob.code).toBe("MSB_ERR_IMAGE_NOT_FOUND");
    const repository = await failure(registry.getManifest(parseReference(`${host}/nobody/x`)));
    expect(repository.code).toBe("MSB_ERR_IMAGE_NOT_FOUND");
  });
});

describe.each(["basic", "token"] as const)("credentials for auth %s", (auth) => {
  const pull = (opts: Parameters<typeof open>[0]) => {
    const { host } = registries[auth];
    return open({ host, ...opts }).getManifest(imageAt(host));
  };

  it("that are missing or wrong are an error without secrets that says where they come from", async () => {
    const missing = await failure(pull({}));
    expect(missing).toMatchObject({
      code: "MSB_ERR_REGISTRY_AUTH",
      message: expect.stringMatching(/no credentials.*config\.json.*docker login/) as string,
    });
    const wrong = await failure(pull({ registry: { username: USERNAME, password: "n0t-it" } }));
    expect(wrong).toMatchObject({
      code: "MSB_ERR_REGISTRY_AUTH",
      message: expect.stringContaining("are from settings.json") as string,
    });
    expect(JSON.stringify([wrong, wrong.stack])).not.toMatch(/n0t-it|bm90LWl0/);
  });

  it("come from a password file for its owner alone", async () => {
    const passwordFile = join(await tempDir(), "pw");
    await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
    const registry = { username: USERNAME, passwordFile };
    expect((await pull({ registry })).descriptor).toEqual(layout.root);
    await chmod(passwordFile, 0o644);
    expect(await failure(pull({ registry }))).toMatchObject({
      code: "MSB_ERR_SETTINGS_INVALID",
      message: expect.stringContaining("chmod 600") as string,
    });
  });

  it("come from Docker's configuration", async () => {
    const dir = await tempDir();
    const pair = Buffer.from(`${USERNAME}:${PASSWORD}`).toString("base64");
    const { host } = registries[auth];
    await writeFile(
      join(dir, "config.json"),
      JSON.stringify({ auths: { [host]: { auth: pair } } }),
    );
    expect((await pull({ env: { DOCKER_CONFIG: dir } })).descriptor).toEqual(layout.root);
  });

  it("come from a credential helper, which is given the host on its input", async () => {
    const dir = await tempDir();
    const { host } = registries[auth];
    const answer = JSON.stringify({ ServerURL: host, Username: USERNAME, Secret: PASSWORD });
    await mkdir(join(dir, "bin"));
    await writeFile(
      join(dir, "bin/docker-credential-msbtest"),
      `#!/bin/sh\nread server\n[ "$1 $server" = "get ${host}" ] && echo '${answer}'\n`,
      { mode: 0o755 },
    );
    const config = { credHelpers: { [host]: "msbtest" } };
    await writeFile(join(dir, "config.json"), JSON.stringify(config));
    const env = { DOCKER_CONFIG: dir, PATH: `${dir}/bin:/usr/bin:/bin` };
    expect((await pull({ env })).descriptor).toEqual(layout.root);
  });
});

describe("tokens", () => {
  it("are asked for once for one repository, however many blobs are read", async () => {
    const { host, tokens } = registries.token;
    const registry = open({ host, registry: withPassword });
    const ref = imageAt(host);
    const before = tokens!.requests.length;
    const [{ layers }] = layout.manifests as [OciLayout["manifests"][number]];
    await Promise.all(
      layers.map(async (layer) => collect((await registry.openBlob(ref, layer)).body)),
    );
    await registry.getManifest(ref);
    const asked = tokens!.requests.slice(before);
    expect(asked).toHaveLength(1);
    expect(asked[0]!.url.searchParams.get("scope")).toBe("repository:team/nested/image:pull");
    expect(asked[0]!.url.searchParams.get("service")).toBe("msb-test-registry");
  });

  it("are renewed when they ran out", async () => {
    const { host, tokens } = registries.token;
    let nowMs = 0;
    const clock = { now: () => nowMs, sleep: () => Promise.resolve(), random: () => 0 };
    const registry = open({ host, registry: withPassword, clock });
    const before = tokens!.requests.length;
    await registry.getManifest(imageAt(host));
    nowMs = 294_000;
    await registry.getManifest(imageAt(host));
    expect(tokens!.requests).toHaveLength(before + 1);
    nowMs = 295_000;
    await registry.getManifest(imageAt(host));
    expect(tokens!.requests).toHaveLength(before + 2);
  });

  it("come for an identity token by a POST that has it in its body alone", async () => {
    const { host, tokens } = registries.token;
    const registry = open({ host, registry: { identityToken: IDENTITY_TOKEN } });
    expect((await registry.getManifest(imageAt(host))).descriptor).toEqual(layout.root);
    const last = tokens!.requests.at(-1)!;
    expect(last.method).toBe("POST");
    expect(last.url.search).toBe("");
    expect(Object.fromEntries(last.form)).toMatchObject({
      grant_type: "refresh_token",
      refresh_token: IDENTITY_TOKEN,
      scope: "repository:team/nested/image:pull",
    });
    const wrong = open({ host, registry: { identityToken: "some-other-token" } });
    const error = await failure(wrong.getManifest(imageAt(host)));
    expect(error.code).toBe("MSB_ERR_REGISTRY_AUTH");
    expect(JSON.stringify([error, error.stack])).not.toContain("some-other-token");
  });
});

describe("mirrors", () => {
  it("are tried in order before the registry itself, each with its own credentials", async () => {
    const failed: [string, string][] = [];
    const client = open({
      settings: {
        ...EMPTY_SETTINGS,
        registries: {
          "127.0.0.1:9": {
            mirrors: [registries.basic.host, `http://${registries.token.host}/team`],
          },
          [registries.token.host]: withPassword,
        },
      },
      retry: { attempts: 1 },
      onMirrorFailed: (mirror, { code }) => failed.push([mirror, code]),
    });
    const ref = parseReference("127.0.0.1:9/nested/image:1.0");
    expect((await client.getManifest(ref)).descriptor).toEqual(layout.root);
    expect(failed).toEqual([[registries.basic.host, "MSB_ERR_REGISTRY_AUTH"]]);
    const layer = layout.manifests[0]!.layers[0]!;
    const blob = await client.openBlob(ref, layer);
    expect(digestOf(await collect(blob.body))).toBe(layer.digest);
    const skipped = await failure(client.openBlob(ref, layer, { mirrors: "skip" }));
    expect(skipped).toMatchObject({
      code: "MSB_ERR_REGISTRY_UNAVAILABLE",
      message: expect.stringContaining("nothing listens at 127.0.0.1:9") as string,
    });
  });
});
