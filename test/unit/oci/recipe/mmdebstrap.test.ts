import { expect, test } from "vitest";
import { mmdebstrapCall } from "../../../../src/oci/recipe/mmdebstrap.js";
import { recipe } from "../../../helpers/recipe.js";

const opts = { debianArchitecture: "amd64", mirrors: [], isRoot: true, env: {} };

test("what a recipe says becomes one argument each, never part of a shell program", () => {
  const wanted = {
    packages: ["curl", "git"],
    exclude: ["/usr/share/man/*"],
    include: ["/usr/share/man/man1/$(reboot)"],
    remove: ["/usr/share/x`reboot`/*", "/var/lib/; reboot"],
  };
  const { args, env } = mmdebstrapCall(recipe(wanted), { ...opts, mirrors: ["deb a b main"] });
  expect(args).toEqual(
    expect.arrayContaining([
      "--include=curl",
      "--include=git",
      "--dpkgopt=path-exclude=/usr/share/man/*",
      "--dpkgopt=path-include=/usr/share/man/man1/$(reboot)",
    ]),
  );
  expect(args.slice(-3)).toEqual(["bookworm", "-", "deb a b main"]);
  const hooks = (of: typeof args) => of.filter((arg) => arg.includes("-hook="));
  expect(hooks(args)).toHaveLength(2);
  expect(hooks(args)).toEqual(hooks(mmdebstrapCall(recipe(), opts).args));
  expect(env["MSB_RECIPE_REMOVE"]?.split("\n")).toEqual(expect.arrayContaining(wanted.remove));
});

test("caches are made when all is installed, before what is unwanted is removed", () => {
  const { args } = mmdebstrapCall(recipe({ caches: ["matplotlib-fonts"] }), opts);
  const hooks = args.filter((arg) => arg.startsWith("--customize-hook="));
  expect(hooks).toHaveLength(2);
  expect(hooks[0]).toContain("MPLCONFIGDIR=/var/cache/matplotlib chroot");
  expect(hooks[1]).toContain("rm -rf");
});

test("the clock of the build is the recipe's, and root's way differs from a user's", () => {
  const call = mmdebstrapCall(recipe({ created: "1970-01-02T00:00:00Z" }), opts);
  expect(call.env["SOURCE_DATE_EPOCH"]).toBe("86400");
  expect(call.args).toContain("--mode=root");
  expect(mmdebstrapCall(recipe(), { ...opts, isRoot: false }).args).toContain("--mode=unshare");
});

test("maintainer scripts see proxies and nothing private", () => {
  const env = {
    PATH: "/bin",
    AWS_SECRET_ACCESS_KEY: "x",
    https_proxy: "http://127.0.0.1:1",
    HOME: "/h",
  };
  const call = mmdebstrapCall(recipe(), { ...opts, env });
  expect(Object.keys(call.env).toSorted()).toEqual([
    "DEBIAN_FRONTEND",
    "HOME",
    "LC_ALL",
    "MSB_RECIPE_REMOVE",
    "PATH",
    "SOURCE_DATE_EPOCH",
    "https_proxy",
  ]);
});
