import { afterEach, describe, expect, it, vi } from "vitest";
import { clientSettings } from "../../../src/sdk/client-settings.js";
import { errorOf } from "../../helpers/sdk.js";

afterEach(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
});

describe("settings of a client", () => {
  it("are the options, then the variables, then the defaults", () => {
    vi.stubEnv("MSB_SERVER_URL", undefined);
    vi.stubEnv("MSB_API_KEY", undefined);
    expect(clientSettings()).toMatchObject({
      serverUrl: "http://127.0.0.1:5555",
      apiKey: undefined,
    });
    vi.stubEnv("MSB_SERVER_URL", "https://sandboxes.example/msb/\n");
    vi.stubEnv("MSB_API_KEY", "msb_variable");
    expect(clientSettings()).toMatchObject({
      serverUrl: "https://sandboxes.example/msb",
      apiKey: "msb_variable",
    });
    const opts = { serverUrl: "http://[::1]:5555/", apiKey: "msb_option" };
    expect(clientSettings(opts)).toMatchObject({
      serverUrl: "http://[::1]:5555",
      apiKey: "msb_option",
    });
  });

  it("take an empty variable, and an empty key, for none", () => {
    vi.stubEnv("MSB_SERVER_URL", " ");
    vi.stubEnv("MSB_API_KEY", "msb_variable");
    expect(clientSettings({ apiKey: "" })).toMatchObject({
      serverUrl: "http://127.0.0.1:5555",
      apiKey: undefined,
    });
  });

  it("come from Deno's variables where there are no others", () => {
    const variables = new Map([["MSB_API_KEY", "msb_deno"]]);
    vi.stubGlobal("process", undefined);
    vi.stubGlobal("Deno", { env: { get: (name: string) => variables.get(name) } });
    expect(clientSettings()).toMatchObject({
      serverUrl: "http://127.0.0.1:5555",
      apiKey: "msb_deno",
    });
  });

  it("are the defaults where variables may not be read", () => {
    const refused = (): never => {
      throw new Error("Requires env access");
    };
    vi.stubGlobal("process", undefined);
    vi.stubGlobal("Deno", { env: { get: refused } });
    expect(clientSettings().serverUrl).toBe("http://127.0.0.1:5555");
    vi.stubGlobal("Deno", undefined);
    expect(clientSettings().apiKey).toBeUndefined();
  });

  it.each([
    ["127.0.0.1:5555", "is no address"],
    ["localhost:5555", "must begin with http"],
    ["nonsense", "is no address"],
    ["ftp://host", "must begin with http"],
    ["http://user:secret@host", "must not have a user"],
    ["http://host/?a=b", "must end with its path"],
    ["http://host/#top", "must end with its path"],
    ["", "is no address"],
  ])("refuse the address %j", async (serverUrl, problem) => {
    const error = await errorOf(() => clientSettings({ serverUrl }));
    expect(error).toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option: "serverUrl" },
    });
    expect(error.message).toContain(problem);
    expect(error.message).not.toContain("secret");
  });

  it("refuse a key that no header can carry, without quoting it", async () => {
    const error = await errorOf(() => clientSettings({ apiKey: "msb_se\ncret" }));
    expect(error.code).toBe("MSB_ERR_INVALID_ARGUMENT");
    expect(`${error.message}${JSON.stringify(error.details)}`).not.toContain('cret"');
    expect(error.message).not.toContain("msb_se");
  });
});
