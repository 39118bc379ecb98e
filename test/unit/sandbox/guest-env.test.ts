import { describe, expect, it } from "vitest";
import { commandContext, guestContext, mergeEnv } from "../../../src/sandbox/guest-env.js";
import { languageOf } from "../../../src/sandbox/prewarm.js";

const image = (opts: object = {}) => ({
  env: [] as string[],
  workingDir: "",
  user: "",
  cmd: [] as string[],
  entrypoint: [] as string[],
  ...opts,
});
const spec = (opts: object = {}) => ({ env: [] as string[], workdir: null, user: null, ...opts });

describe("what programs find", () => {
  it("is the spec's before the image's before the default", () => {
    const context = guestContext(
      image({ env: ["PATH=/opt", "A=1", "EMPTY", "=x"], user: "app", workingDir: "/srv" }),
      spec({ env: ["A=2=3", "A=4"], workdir: "/w", user: "7:8" }),
    );
    expect(context).toEqual({ env: ["PATH=/opt", "HOME=/", "A=4"], workdir: "/w", user: "7:8" });
  });

  it.each([
    ["", "root", "/root"],
    ["0:0", "0:0", "/root"],
    ["app:staff", "app:staff", "/home/app"],
    ["1000", "1000", "/"],
  ])("of an image with the user %j has HOME for %s", (given, user, home) => {
    const context = guestContext(image({ user: given }), spec());
    expect(context).toMatchObject({ user, workdir: "/" });
    expect(context.env).toContain(`HOME=${home}`);
  });

  it("has each name once", () => {
    expect(mergeEnv(["A=1", "B=1"], ["B=2"], ["C=1", "A="])).toEqual(["A=", "B=2", "C=1"]);
  });
});

describe("what one command finds", () => {
  const context = guestContext(image({ user: "app" }), spec({ env: ["A=1"], workdir: "/w" }));

  it("is what the sandbox has", () => {
    expect(commandContext(context, {})).toEqual(context);
  });

  it("is what it asked for on top of that", () => {
    const asked = { env: ["A=2", "B=3"], workdir: "/tmp", user: "7:8" };
    const { env, ...rest } = commandContext(context, asked);
    expect(rest).toEqual({ workdir: "/tmp", user: "7:8" });
    expect(env).toEqual(expect.arrayContaining(["A=2", "B=3", "HOME=/"]));
    expect(env).not.toContain("A=1");
  });

  it("has the HOME that somebody chose, whoever its user is", () => {
    expect(commandContext(context, { user: "root" }).env).toContain("HOME=/root");
    expect(commandContext(context, { user: "root", env: ["HOME=/x"] }).env).toContain("HOME=/x");
    const chosen = guestContext(image({ env: ["HOME=/opt"] }), spec());
    expect(commandContext(chosen, { user: "app" }).env).toContain("HOME=/opt");
  });

  it.each([
    ["env", { env: ["A"] }],
    ["env", { env: ["=a"] }],
    ["workdir", { workdir: "tmp" }],
    ["workdir", { workdir: "/a\0" }],
    ["user", { user: "a b" }],
  ])("has no wrong %s", (option, asked) => {
    expect(() => commandContext(context, asked)).toThrow(
      expect.objectContaining({
        code: "MSB_ERR_INVALID_ARGUMENT",
        details: expect.objectContaining({ option }),
      }),
    );
  });
});

describe("the language of an image", () => {
  it.each([
    ["python", {}, "python"],
    ["microsandbox/node", {}, "node"],
    ["registry.example:5000/team/python:3.12-slim@sha256:0", {}, "python"],
    ["app", { env: ["X=1", "NODE_VERSION=20"] }, "node"],
    ["app", { env: ["PYTHON_VERSION=3"], cmd: ["node"] }, "python"],
    ["app", { cmd: ["/usr/bin/python3.11"] }, "python"],
    ["app", { entrypoint: ["nodejs"] }, "node"],
    ["python-tools", { cmd: ["pythonic"] }, undefined],
    ["alpine", { cmd: ["/bin/sh"], env: ["PYTHON=1"] }, undefined],
  ])("%s %j is %s", (name, config, language) => {
    expect(languageOf(name, image(config))).toBe(language);
  });
});
