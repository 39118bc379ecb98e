import { expect, test } from "vitest";
import { endpointsOf } from "../../../../src/oci/registry/endpoint.js";
import { EMPTY_SETTINGS, type RegistrySettings } from "../../../../src/settings.js";

const bases = (
  registry: string,
  registries: Record<string, RegistrySettings> = {},
  plainHttp?: boolean,
) =>
  endpointsOf(registry, { ...EMPTY_SETTINGS, registries }, { plainHttp }).map(
    ({ base, folder, allowPlainHttp }) =>
      `${base.href}v2/${folder}${allowPlainHttp ? " told" : ""}`,
  );

test.each([
  ["docker.io", undefined, "https://registry-1.docker.io/v2/"],
  ["ghcr.io", undefined, "https://ghcr.io/v2/"],
  ["host.example:5000", undefined, "https://host.example:5000/v2/"],
  ["host.example:5000", true, "http://host.example:5000/v2/ told"],
  ["localhost:5000", undefined, "http://localhost:5000/v2/"],
  ["127.0.0.1", undefined, "http://127.0.0.1/v2/"],
  ["[::1]:5000", undefined, "http://[::1]:5000/v2/"],
  ["[::1]:5000", false, "https://[::1]:5000/v2/"],
])("%s with plainHttp %s is at %s", (registry, plainHttp, base) => {
  const settings = plainHttp === undefined ? {} : { [registry]: { plainHttp } };
  expect(bases(registry, settings)).toEqual([base]);
});

test("the option outdoes the setting, and only when it asks for plain HTTP", () => {
  const off = { "a.b": { plainHttp: false }, "localhost:1": { plainHttp: false } };
  expect(bases("a.b", off, true)).toEqual(["http://a.b/v2/ told"]);
  expect(bases("localhost:1", off, false)).toEqual(["https://localhost:1/v2/"]);
  expect(bases("a.b", { "a.b": { plainHttp: true } }, false)).toEqual(["http://a.b/v2/ told"]);
  expect(bases("localhost:1", {}, false)).toEqual(["http://localhost:1/v2/"]);
});

test("mirrors come first, in their order, with their folder and their own settings", () => {
  const mirrors = [
    "mirror.example/hub/",
    "http://Plain.example:80",
    "localhost:5000",
    "tls.example",
  ];
  const registries = {
    "docker.io": { mirrors, username: "u", password: "p" },
    "tls.example": { caFile: "/ca.pem", plainHttp: true },
    "mirror.example": { mirrors: ["not.followed"] },
  };
  expect(bases("docker.io", registries)).toEqual([
    "https://mirror.example/v2/hub/",
    "http://plain.example/v2/ told",
    "http://localhost:5000/v2/",
    "http://tls.example/v2/ told",
    "https://registry-1.docker.io/v2/",
  ]);
  const endpoints = endpointsOf("docker.io", { ...EMPTY_SETTINGS, registries });
  expect(endpoints.map(({ registry }) => registry)).toEqual([
    "mirror.example",
    "plain.example:80",
    "localhost:5000",
    "tls.example",
    "docker.io",
  ]);
  expect(endpoints.map(({ isMirror }) => isMirror)).toEqual([true, true, true, true, false]);
  expect(endpoints.map(({ caFile }) => caFile)[3]).toBe("/ca.pem");
});
