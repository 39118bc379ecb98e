/** Debian's docker-registry on loopback, with and without authentication, filled by skopeo. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { startTokenServer, type TokenServer } from "./token-server.js";

export const USERNAME = "tester";
export const PASSWORD = "pass:wörd+/=";
export const IDENTITY_TOKEN = "identity-token+/=of-tester";

export interface DockerRegistryOpts {
  readonly auth?: "none" | "basic" | "token";
  /** Who ends it; the test that started it when it is not given. */
  readonly onEnd?: (end: () => Promise<void>) => unknown;
}

export interface DockerRegistry {
  /** `127.0.0.1:port` */
  readonly host: string;
  readonly pid: number;
  /** Present with `auth: "token"`. */
  readonly tokens: TokenServer | undefined;
  /** Copies `tag` of the OCI layout in `dir`, with all its platforms, to `name[:tag]` here. */
  push(dir: string, tag: string, name: string): Promise<void>;
}

export async function startDockerRegistry(opts: DockerRegistryOpts = {}): Promise<DockerRegistry> {
  const { auth = "none" } = opts;
  // Not imported above: what makes image fixtures runs outside of vitest, too.
  const onEnd = opts.onEnd ?? (await import("vitest")).onTestFinished;
  const dir = await mkdtemp(join(tmpdir(), "msb-test-registry-"));
  const ends: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })];
  onEnd(async () => {
    for (const end of ends.toReversed()) await end();
  });
  const tokens =
    auth === "token"
      ? await startTokenServer({
          dir,
          username: USERNAME,
          password: PASSWORD,
          identityToken: IDENTITY_TOKEN,
        })
      : undefined;
  if (tokens !== undefined) ends.push(() => tokens.close());
  const config = join(dir, "config.yml");
  // JSON is YAML.
  await writeFile(config, JSON.stringify(await configuration(dir, auth, tokens)));
  const child = spawn("/usr/bin/docker-registry", ["serve", config], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: "/usr/bin:/bin", OTEL_TRACES_EXPORTER: "none" },
  });
  ends.push(() => ended(child));
  const host = await listening(child);
  return {
    host,
    pid: child.pid!,
    tokens,
    push: async (layout, tag, name) => {
      const credentials = auth === "none" ? [] : ["--dest-creds", `${USERNAME}:${PASSWORD}`];
      await promisify(execFile)(
        "skopeo",
        [
          ...["copy", "--all", "--insecure-policy", "--dest-tls-verify=false", ...credentials],
          ...[`oci:${layout}:${tag}`, `docker://${host}/${name}`],
        ],
        { env: { PATH: "/usr/bin:/bin", HOME: dir, TMPDIR: dir } },
      );
    },
  };
}

async function configuration(
  dir: string,
  auth: "none" | "basic" | "token",
  tokens: TokenServer | undefined,
): Promise<object> {
  const common = {
    version: "0.1",
    log: { level: "info", formatter: "json", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(dir, "storage") } },
    http: { addr: "127.0.0.1:0" },
  };
  if (auth === "token") return { ...common, auth: { token: tokens!.config } };
  if (auth === "none") return common;
  const path = join(dir, "htpasswd");
  await writeFile(path, execFileSync("htpasswd", ["-Bbn", USERNAME, PASSWORD]));
  return { ...common, auth: { htpasswd: { realm: "msb-test", path } } };
}

/** The address that it says it listens at. */
async function listening(child: ChildProcess): Promise<string> {
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr! })) {
    said.push(line);
    const [, host] = /listening on (127\.0\.0\.1:\d+)/.exec(line) ?? [];
    if (host === undefined) continue;
    // Nobody reads the rest; a full pipe would stop it.
    child.stderr!.resume();
    return host;
  }
  throw new Error(`docker-registry ended before it listened:\n${said.join("\n")}`);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}
