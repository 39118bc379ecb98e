import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { expect, it } from "vitest";

interface LockedPackage {
  readonly version: string;
  readonly engines?: { readonly node?: string };
}

const { satisfies } = createRequire(import.meta.url)("semver") as {
  satisfies(version: string, range: string): boolean;
};
const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8"));

it("every package that comes with it runs on the oldest Node.js that it names", () => {
  const { engines } = read("package.json") as { readonly engines: { readonly node: string } };
  const oldest = /^>=(\d+\.\d+\.\d+)$/.exec(engines.node)?.[1];
  const { packages } = read("package-lock.json") as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  const locked = Object.entries(packages);
  expect(locked.length).toBeGreaterThan(100);
  const newer = locked.filter(([, { engines: needs }]) => !satisfies(oldest!, needs?.node ?? "*"));
  expect(newer.map(([path, { version }]) => `${path} ${version}`)).toEqual([]);
});
