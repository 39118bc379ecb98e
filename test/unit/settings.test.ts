import { execFileSync } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { isMsbError, type MsbError } from "../../src/errors.js";
import { msbPaths } from "../../src/paths.js";
import { EMPTY_SETTINGS, parseSettings, readSettings } from "../../src/settings.js";
import { tempDir } from "../helpers/temp-dir.js";

const parse = (content: unknown) =>
  parseSettings(
    Buffer.from(typeof content === "string" ? content : JSON.stringify(content)),
    "/home/u/settings.json",
  );

function failure(content: unknown): MsbError {
  try {
    parse(content);
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_SETTINGS_INVALID")) return error;
    throw error;
  }
  throw new Error("this was taken");
}

test("everything that can be set is taken, hosts in one spelling and paths absolute", () => {
  expect(
    parse({
      defaultRegistry: "Registry.example:5000",
      imageAliases: { python: "docker.io/library/python:3.12" },
      registries: {
        "index.docker.io": { mirrors: ["mirror.example/hub", "http://[::1]:5000", "https://a.b/"] },
        "GHCR.io": { username: "u", password: "p", caFile: "~/ca.pem" },
        "127.0.0.1:5000": { username: "u", passwordFile: "/run/pw", plainHttp: false },
        "x.example": { identityToken: "t" },
      },
    }),
  ).toEqual({
    defaultRegistry: "registry.example:5000",
    imageAliases: { python: "docker.io/library/python:3.12" },
    registries: {
      "docker.io": { mirrors: ["mirror.example/hub", "http://[::1]:5000", "https://a.b/"] },
      "ghcr.io": { username: "u", password: "p", caFile: join(homedir(), "ca.pem") },
      "127.0.0.1:5000": { username: "u", passwordFile: "/run/pw", plainHttp: false },
      "x.example": { identityToken: "t" },
    },
  });
  expect(parse({})).toEqual(EMPTY_SETTINGS);
});

test("what is not set is not there, whatever it is called", () => {
  expect(EMPTY_SETTINGS.imageAliases["constructor"]).toBeUndefined();
  expect(parse({ imageAliases: {} }).imageAliases["toString"]).toBeUndefined();
  expect(parse({ registries: {} }).registries["constructor"]).toBeUndefined();
});

const inRegistry = (registry: unknown) => ({ registries: { "ghcr.io": registry } });
test.each([
  [{ registry: {} }, /registry is not a setting; known here are registries, imageAliases/],
  [inRegistry({ pasword: "x" }), /registries\["ghcr.io"\]\["pasword"\] is not a setting.*username/],
  [inRegistry({ plainHttp: "yes" }), /\["plainHttp"\] is wrong: expected boolean/],
  [inRegistry({ username: "" }), /\["username"\] is wrong/],
  [inRegistry({ password: "x" }), /password without a username/],
  [inRegistry({ username: "x" }), /username without password/],
  [inRegistry({ username: "x:y", password: "z" }), /no colon/],
  [inRegistry({ username: "x", password: "z", identityToken: "t" }), /more than one of/],
  [inRegistry({ username: "x", passwordFile: "pw" }), /passwordFile must begin with \//],
  [inRegistry({ caFile: "ca.pem" }), /caFile must begin with \//],
  [inRegistry({ mirrors: "m" }), /\["mirrors"\] is wrong: expected array/],
  [inRegistry({ mirrors: ["m", "ftp://m"] }), /mirrors\[1\] is not \[https:\/\/\]host/],
  [inRegistry({ mirrors: ["https://u:p@m"] }), /mirrors\[0\]/],
  [inRegistry({ mirrors: ["m/../x"] }), /mirrors\[0\]/],
  [{ registries: { "https://ghcr.io": {} } }, /\["https:\/\/ghcr.io"\] is not a host/],
  [{ registries: { "a.b": {}, "A.b": {} } }, /twice/],
  [{ registries: { "a/b~c": { x: 1 } } }, /registries\["a\/b~c"\]\["x"\]/],
  [{ defaultRegistry: "a/b" }, /defaultRegistry is not a host/],
  [{ imageAliases: { python: 3 } }, /imageAliases\["python"\] is wrong: expected string/],
  [[], /the file is wrong: expected object/],
  ["", /is not JSON/],
  ['{\n"registries": {\n"a.b": {} "c.d": {}\n}}', /is not JSON in UTF-8 \(line 3\)/],
  [{ ["\u001b[2J"]: 1 }, /\ufffd\[2J is not a setting/],
])("%j is refused by name", (content, message) => {
  const error = failure(content);
  expect(error.message).toMatch(message);
  expect(error.message).toContain("/home/u/settings.json");
});

describe("secrets", () => {
  it.each([
    '{"registries":{"a.b":{"username":"u","password":s3cret}}}',
    '{"registries":{"a.b":{"username":"u","password":"s3cret",}}}',
    '{"registries":{"a.b":{"password":"s3cret"}}}',
    '{"registries":{"a.b":{"username":["s3cret"]}}}',
    '{"registries":{"a.b":"s3cret"}}',
    '{"registries":{"a.b":{"username":"u","password":"s3cret","caFile":"s3cret"}}}',
  ])("are not in the error about %s", (content) => {
    const error = failure(content);
    const everything = JSON.stringify([error.toJSON(), error.stack, String(error.cause)]);
    expect(everything).not.toContain("s3cret");
  });
});

describe("the file", () => {
  const written = async (content: unknown, mode: number) => {
    const paths = msbPaths(await tempDir());
    await writeFile(paths.settingsFile, JSON.stringify(content));
    await chmod(paths.settingsFile, mode);
    return paths;
  };
  const withPassword = inRegistry({ username: "u", password: "p" });

  it("may be missing", async () => {
    expect(await readSettings(msbPaths(await tempDir()))).toEqual(EMPTY_SETTINGS);
    expect(await readSettings(msbPaths("/dev/null"))).toEqual(EMPTY_SETTINGS);
  });

  it("with a password is for its owner alone, and the message has the command", async () => {
    for (const mode of [0o640, 0o604, 0o660]) {
      const paths = await written(withPassword, mode);
      const error = await readSettings(paths).catch((caught: unknown) => caught as MsbError);
      expect(error).toMatchObject({ code: "MSB_ERR_SETTINGS_INVALID" });
      const [, command] = /run: (.*)\.$/.exec((error as MsbError).message) ?? [];
      execFileSync("/bin/sh", ["-c", command!]);
      expect((await readSettings(paths)).registries["ghcr.io"]).toMatchObject({ password: "p" });
    }
  });

  it("without a password may be read by all", async () => {
    const paths = await written({ defaultRegistry: "a.b" }, 0o644);
    expect(await readSettings(paths)).toMatchObject({ defaultRegistry: "a.b" });
  });

  it("is a regular one, and small", async () => {
    const paths = msbPaths(await tempDir());
    await mkdir(paths.settingsFile);
    await expect(readSettings(paths)).rejects.toThrow(/regular file|EISDIR/);
    const large = await written({ imageAliases: { a: "x".repeat(1024 ** 2) } }, 0o644);
    await expect(readSettings(large)).rejects.toMatchObject({
      code: "MSB_ERR_SETTINGS_INVALID",
      message: expect.stringContaining("1048576") as string,
    });
    const pipe = msbPaths(await tempDir());
    execFileSync("mkfifo", [pipe.settingsFile]);
    await expect(readSettings(pipe)).rejects.toThrow(/regular file/);
  });
});
