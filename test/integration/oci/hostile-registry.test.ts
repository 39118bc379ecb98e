/** Registries, and what is between them and us, at their worst: a clear error, nothing leaked, nothing endless. */
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { isMsbError, type MsbError } from "../../../src/errors.js";
import { type Digest, digestOf } from "../../../src/oci/digest.js";
import { type Descriptor, MediaType } from "../../../src/oci/manifest.js";
import { parseReference } from "../../../src/oci/reference.js";
import {
  RegistryClient,
  type RegistryClientOpts,
} from "../../../src/oci/registry/registry-client.js";
import type { Retry } from "../../../src/oci/registry/retry.js";
import { EMPTY_SETTINGS, type RegistrySettings } from "../../../src/settings.js";
import { type Handler, startHttpServer, type TestServer } from "../../helpers/http-server.js";

const PASSWORD = "hunter2-but-longer";
const MANIFEST = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: { mediaType: MediaType.ociConfig, digest: digestOf(Buffer.from("{}")), size: 2 },
    layers: [],
  }),
);
const BLOB = Buffer.from("0123456789".repeat(10_000));
const LAYER: Descriptor = {
  mediaType: MediaType.ociLayer,
  digest: digestOf(BLOB),
  size: BLOB.length,
};

/** Pauses that are written down and not waited for. */
function instantClock(): NonNullable<RegistryClientOpts["clock"]> & { readonly slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    now: () => 0,
    random: () => 1,
    sleep: (ms) => {
      slept.push(ms);
      return Promise.resolve();
    },
  };
}

function open(
  server: { host: string },
  opts: Partial<RegistryClientOpts> & { registry?: RegistrySettings } = {},
): RegistryClient {
  const { registry = {}, ...rest } = opts;
  const client = RegistryClient.open({
    settings: { ...EMPTY_SETTINGS, registries: { [server.host]: registry } },
    env: { DOCKER_CONFIG: "/nowhere" },
    clock: instantClock(),
    ...rest,
  });
  onTestFinished(() => client[Symbol.asyncDispose]());
  return client;
}

const image = ({ host }: { host: string }, suffix = ":1") => parseReference(`${host}/a/b${suffix}`);

async function failure(work: Promise<unknown>): Promise<MsbError> {
  const error: unknown = await work.then(
    () => new Error("it succeeded"),
    (caught: unknown) => caught,
  );
  if (!isMsbError(error)) throw error;
  expect(JSON.stringify([error, error.stack, String(error.cause)])).not.toContain(PASSWORD);
  return error;
}

async function collect(body: AsyncIterable<Buffer>, into: Buffer[] = []): Promise<Buffer> {
  for await (const chunk of body) into.push(chunk);
  return Buffer.concat(into);
}

const sendManifest: Handler = (_, response) => {
  response.writeHead(200, { "content-type": MediaType.ociManifest }).end(MANIFEST);
};
const redirectTo =
  (location: string, status = 307): Handler =>
  (_, response) => {
    response.writeHead(status, { location }).end();
  };
const withPassword = { username: "u", password: PASSWORD };
const basic = `Basic ${Buffer.from(`u:${PASSWORD}`).toString("base64")}`;
/** Wants Basic, then does `next`. */
const behindBasic =
  (next: Handler): Handler =>
  (request, response) => {
    if (request.headers.authorization === basic) next(request, response);
    else response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
  };

describe("a redirect", () => {
  it.each([
    "file:///etc/passwd",
    "ftp://127.0.0.1/x",
    "data:text/plain,x",
    "http://u:p@127.0.0.1/",
    "http://[bad/",
    "http://192.0.2.1/beyond-this-machine",
    "/too-long",
  ])("to %s is not followed", async (target) => {
    const location = target === "/too-long" ? `/${"x".repeat(9000)}` : target;
    const server = await startHttpServer(redirectTo(location));
    const error = await failure(open(server).getManifest(image(server)));
    expect(error.code).toBe("MSB_ERR_REGISTRY");
    expect(server.requests).toHaveLength(1);
  });

  it("loop ends after five", async () => {
    const server = await startHttpServer((request, response) => {
      redirectTo(request.url ?? "/")(request, response);
    });
    const error = await failure(open(server).getManifest(image(server)));
    expect(error).toMatchObject({
      code: "MSB_ERR_REGISTRY",
      message: expect.stringContaining("more than 5 times") as string,
    });
    expect(server.requests).toHaveLength(6);
  });

  it("that stays with the registry keeps the credentials", async () => {
    const server = await startHttpServer(
      behindBasic((request, response) => {
        const next = request.url === "/moved" ? sendManifest : redirectTo("/moved", 301);
        next(request, response);
      }),
    );
    const client = open(server, { registry: withPassword });
    expect((await client.getManifest(image(server))).bytes).toEqual(MANIFEST);
  });

  it("to another origin goes without credentials, and so does the way back", async () => {
    const home: TestServer = await startHttpServer((request, response) => {
      if (request.url === "/back") sendManifest(request, response);
      else behindBasic(redirectTo(`${away.url}/away`))(request, response);
    });
    const away = await startHttpServer(redirectTo(`${home.url}/back`));
    const client = open(home, { registry: withPassword });
    expect((await client.getManifest(image(home))).bytes).toEqual(MANIFEST);
    expect(home.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      basic,
      undefined,
    ]);
    expect(away.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    expect(away.requests[0]!.headers.accept).toContain(MediaType.ociIndex);
  });

  it("to an origin that asks for credentials does not get them", async () => {
    const away = await startHttpServer((_, response) => {
      response.writeHead(401, { "www-authenticate": 'Basic realm="gimme"' }).end();
    });
    const home = await startHttpServer(redirectTo(`${away.url}/x?signature=s3cret`));
    const error = await failure(open(home, { registry: withPassword }).getManifest(image(home)));
    expect(error.code).toBe("MSB_ERR_REGISTRY");
    expect(JSON.stringify([error, error.stack])).not.toContain("s3cret");
    expect(away.requests).toHaveLength(1);
    expect(away.requests[0]!.headers.authorization).toBeUndefined();
  });

  it("to a signed link that fails does not give the signature away", async () => {
    const server = await startHttpServer(redirectTo("http://127.0.0.1:9/blob?X-Signature=s3cret"));
    const error = await failure(open(server).openBlob(image(server), LAYER));
    expect(error.code).toBe("MSB_ERR_REGISTRY_UNAVAILABLE");
    expect(error.message).toContain("http://127.0.0.1:9/blob?…");
    expect(JSON.stringify([error, error.stack, String(error.cause)])).not.toContain("s3cret");
  });
});

describe("a manifest", () => {
  const HUGE = 100 * 1024 ** 2;

  it.each(["announced", "not announced"])("of 100 MB, %s, is not read", async (kind) => {
    let sent = 0;
    const server = await startHttpServer((_, response) => {
      if (kind === "announced") response.setHeader("content-length", HUGE);
      const chunk = Buffer.alloc(256 * 1024, " ");
      const pump = (): void => {
        while (sent < HUGE && !response.destroyed) {
          sent += chunk.length;
          if (!response.write(chunk)) return void response.once("drain", pump);
        }
        response.end();
      };
      pump();
    });
    const error = await failure(open(server).getManifest(image(server)));
    expect(error.code).toBe("MSB_ERR_IMAGE_INVALID");
    expect(error.message).toContain("4194304");
    expect(sent).toBeLessThan(HUGE / 2);
    expect(server.requests).toHaveLength(1);
  });

  const answeredWith = async (headers: Record<string, string>) => {
    const server = await startHttpServer(
      (_, response) => void response.writeHead(200, headers).end(MANIFEST),
    );
    return open(server).getManifest(image(server));
  };

  it.each([
    [{ "docker-content-digest": digestOf(BLOB) }, "MSB_ERR_DIGEST_MISMATCH"],
    [{ "docker-content-digest": "sha256:zz\u0080" }, "MSB_ERR_REGISTRY"],
    [{ "content-encoding": "gzip" }, "MSB_ERR_REGISTRY"],
  ])("with the headers %j gives %s", async (headers, code) => {
    const error = await failure(answeredWith(headers as Record<string, string>));
    expect(error.code).toBe(code);
  });

  it("is taken with the right digest in a header, and without", async () => {
    const descriptor = {
      mediaType: MediaType.ociManifest,
      digest: digestOf(MANIFEST),
      size: MANIFEST.length,
    };
    const announced = { "docker-content-digest": digestOf(MANIFEST) };
    expect((await answeredWith(announced)).descriptor).toEqual(descriptor);
    expect((await answeredWith({ "content-type": "text/html" })).descriptor).toEqual(descriptor);
  });

  it("that is not what the digest names is thrown away", async () => {
    const server = await startHttpServer(sendManifest);
    const client = open(server);
    const other = digestOf(BLOB);
    for (const asked of [
      client.getManifest(image(server, `@${other}`)),
      client.getManifest(image(server), { digest: other }),
    ]) {
      expect((await failure(asked)).code).toBe("MSB_ERR_DIGEST_MISMATCH");
    }
    const good = await client.getManifest(image(server), { digest: digestOf(MANIFEST) });
    expect(good.bytes).toEqual(MANIFEST);
  });

  it.each(["<html>", "[]", "{}", "null", '{"schemaVersion":1}', "", "\u0000"])(
    "that is %j is an error of the image",
    async (body) => {
      const server = await startHttpServer((_, response) => void response.end(body));
      const error = await failure(open(server).getManifest(image(server)));
      expect(error.code).toBe("MSB_ERR_IMAGE_INVALID");
    },
  );
});

describe("a blob", () => {
  it("without end stops at the size that was announced by the manifest", async () => {
    const server = await startHttpServer((_, response) => {
      const pump = (): void => {
        while (!response.destroyed && response.write(BLOB));
        if (!response.destroyed) response.once("drain", pump);
      };
      pump();
    });
    const got: Buffer[] = [];
    const blob = await open(server).openBlob(image(server), LAYER);
    const error = await failure(collect(blob.body, got));
    expect(error.code).toBe("MSB_ERR_DIGEST_MISMATCH");
    expect(Buffer.concat(got).length).toBeLessThanOrEqual(LAYER.size);
  });

  it("of another length is refused before it is read", async () => {
    const server = await startHttpServer((_, response) => void response.end("short"));
    const error = await failure(open(server).openBlob(image(server), LAYER));
    expect(error.code).toBe("MSB_ERR_DIGEST_MISMATCH");
  });

  it.each(["with a length", "chunked"])("%s that breaks off can be gone on with", async (kind) => {
    const server = await startHttpServer((request, response) => {
      const [, first] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
      if (first !== undefined) {
        const rest = BLOB.subarray(Number(first));
        response.writeHead(206, {
          "content-range": `bytes ${first}-${BLOB.length - 1}/${BLOB.length}`,
        });
        response.end(rest);
        return;
      }
      if (kind === "with a length") response.setHeader("content-length", BLOB.length);
      response.write(BLOB.subarray(0, 12_345), () => response.destroy());
    });
    const client = open(server);
    const got: Buffer[] = [];
    const blob = await client.openBlob(image(server), LAYER);
    const error = await failure(collect(blob.body, got));
    expect(error).toMatchObject({ code: "MSB_ERR_REGISTRY_UNAVAILABLE", retryable: true });
    const offset = Buffer.concat(got).length;
    expect(offset).toBe(12_345);
    const rest = await client.openBlob(image(server), LAYER, { offset });
    expect(rest.offset).toBe(offset);
    expect((await collect(rest.body, got)).equals(BLOB)).toBe(true);
  });

  it("that ends in order but early is an error that can be gone on from", async () => {
    const server = await startHttpServer((_, response) => {
      response.write(BLOB.subarray(0, 10));
      response.end();
    });
    const blob = await open(server).openBlob(image(server), LAYER);
    expect((await failure(collect(blob.body))).code).toBe("MSB_ERR_REGISTRY_UNAVAILABLE");
  });

  const ranges: [string, number, Record<string, string>][] = [
    ["206 from elsewhere", 206, { "content-range": `bytes 0-${BLOB.length - 1}/${BLOB.length}` }],
    [
      "206 of another size",
      206,
      { "content-range": `bytes 100-${BLOB.length}/${BLOB.length + 1}` },
    ],
    ["206 beyond its end", 206, { "content-range": `bytes 100-${BLOB.length}/*` }],
    ["206 of nothing", 206, { "content-range": "bytes 100-99/*" }],
    ["206 with garbage", 206, { "content-range": "lines one to ten" }],
    ["206 without a range", 206, {}],
    ["416", 416, { "content-range": `bytes */${BLOB.length}` }],
    ["200", 200, {}],
  ];
  it.each(ranges)("that is answered by %s is read from the start", async (_, status, headers) => {
    const server = await startHttpServer((request, response) => {
      if (request.headers.range === undefined) response.end(BLOB);
      else response.writeHead(status, headers).end(BLOB);
    });
    const blob = await open(server).openBlob(image(server), LAYER, { offset: 100 });
    expect(blob.offset).toBe(0);
    expect((await collect(blob.body)).equals(BLOB)).toBe(true);
  });

  it("with a range that is too long is refused", async () => {
    const server = await startHttpServer((_, response) => {
      const headers = { "content-range": `bytes 100-${BLOB.length - 1}/*` };
      response.writeHead(206, headers).end(BLOB);
    });
    const blob = await open(server).openBlob(image(server), LAYER, { offset: 100 });
    const got: Buffer[] = [];
    expect((await failure(collect(blob.body, got))).code).toBe("MSB_ERR_DIGEST_MISMATCH");
    expect(Buffer.concat(got).length).toBeLessThanOrEqual(LAYER.size - 100);
  });
});

describe("a registry that is busy", () => {
  it("is asked again after what it says, or after a growing pause, and then it works", async () => {
    const answers: [number, Record<string, string>][] = [
      [429, { "retry-after": "7" }],
      [503, { "retry-after": "3600" }],
      [500, { "retry-after": "soon" }],
      [408, {}],
    ];
    const server = await startHttpServer((request, response) => {
      const [status, headers] = answers.shift() ?? [];
      if (status === undefined) sendManifest(request, response);
      else response.writeHead(status, headers).end();
    });
    const clock = instantClock();
    const retries: Retry[] = [];
    const client = open(server, { clock, onRetry: (retry) => retries.push(retry) });
    expect((await client.getManifest(image(server))).bytes).toEqual(MANIFEST);
    expect(clock.slept).toEqual([7000, 30_000, 1600, 3200]);
    expect(retries.map(({ attempt, error }) => [attempt, error.code])).toEqual(
      [1, 2, 3, 4].map((attempt) => [attempt, "MSB_ERR_REGISTRY_UNAVAILABLE"]),
    );
  });

  it("for good is an error that can be tried again, after five tries", async () => {
    const server = await startHttpServer((_, response) => {
      response.writeHead(429).end('{"errors":[{"code":"TOOMANYREQUESTS","message":"enough"}]}');
    });
    const error = await failure(open(server).openBlob(image(server), LAYER));
    expect(error).toMatchObject({ code: "MSB_ERR_REGISTRY_UNAVAILABLE", retryable: true });
    expect(error.message).toContain("TOOMANYREQUESTS: enough.");
    expect(server.requests).toHaveLength(5);
  });

  it("and drops connections is asked again, too", async () => {
    let dropped = 0;
    const server = await startHttpServer((request, response) => {
      if (dropped++ < 2) request.socket.destroy();
      else sendManifest(request, response);
    });
    expect((await open(server).getManifest(image(server))).bytes).toEqual(MANIFEST);
    expect(server.requests).toHaveLength(3);
  });

  it.each([400, 402, 405, 418, 204, 300, 304])(
    "is told from one that answers %i, which is not asked again",
    async (status) => {
      const server = await startHttpServer((_, response) => void response.writeHead(status).end());
      const error = await failure(open(server).getManifest(image(server)));
      expect(error).toMatchObject({ code: "MSB_ERR_REGISTRY", details: { status } });
      expect(server.requests).toHaveLength(1);
    },
  );
});

describe("a registry that is slow", () => {
  // One clock is short in each test, so that no other can be the one that rings.
  const retry = { attempts: 1 };

  it("with its headers is given up", async () => {
    const timeouts = { headersMs: 300 };
    const server = await startHttpServer(() => {});
    const error = await failure(open(server, { timeouts, retry }).getManifest(image(server)));
    expect(error.code).toBe("MSB_ERR_REGISTRY_UNAVAILABLE");
    expect(error.message).toContain("did not answer in time");
  });

  it("in the middle of a blob is given up", async () => {
    const timeouts = { bodyIdleMs: 300 };
    const server = await startHttpServer((_, response) => void response.write("0123"));
    const blob = await open(server, { timeouts, retry }).openBlob(image(server), LAYER);
    const got: Buffer[] = [];
    const error = await failure(collect(blob.body, got));
    expect(error.code).toBe("MSB_ERR_REGISTRY_UNAVAILABLE");
    expect(error.message).toContain("stopped sending");
    expect(Buffer.concat(got).toString()).toBe("0123");
  });

  it("and sends a document byte by byte is given up, too", async () => {
    const timeouts = { documentMs: 700 };
    const server = await startHttpServer((_, response) => {
      const timer = setInterval(() => response.write(" "), 50);
      response.once("close", () => clearInterval(timer));
    });
    const error = await failure(open(server, { timeouts, retry }).getManifest(image(server)));
    expect(error).toMatchObject({
      code: "MSB_ERR_REGISTRY_UNAVAILABLE",
      message: expect.stringContaining("within 0.7 s") as string,
    });
  });
});

describe("a challenge", () => {
  const refusing =
    (...headers: string[]): Handler =>
    (_, response) => {
      response.writeHead(401, { "www-authenticate": headers }).end();
    };
  const challenged = async (...headers: string[]) => {
    const server = await startHttpServer(refusing(...headers));
    const error = await failure(
      open(server, { registry: withPassword }).getManifest(image(server)),
    );
    // Asked at most once more, whatever it says.
    expect(server.requests.length).toBeLessThanOrEqual(2);
    return error;
  };

  it.each([
    [[]],
    [[""]],
    [[',,, ="\\ Bearer']],
    [["Negotiate"]],
    [["Bearer"]],
    [['Bearer service="no realm"']],
    [['Digest realm="x", nonce="\u0080"']],
    [["too long"]],
    [['Basic realm="x"']],
  ])("%j gets no endless answer", async (headers) => {
    const sent = headers[0] === "too long" ? [`Bearer ${"a=b,".repeat(3000)}`] : headers;
    expect((await challenged(...sent)).code).toBe("MSB_ERR_REGISTRY_AUTH");
  });

  it.each([
    "file:///etc/passwd",
    "not a url",
    "",
    "http://u:p@127.0.0.1/token",
    "http://192.0.2.1/token",
  ])("with the realm %j is not followed", async (realm) => {
    const error = await challenged(`Bearer realm="${realm}",service="s"`);
    expect(error.code).toBe("MSB_ERR_REGISTRY");
  });

  it("that comes again after a token was given ends with an error", async () => {
    const service = await startHttpServer((_, response) => void response.end('{"token":"abc"}'));
    const error = await challenged(`Bearer realm="${service.url}/token"`);
    expect(error.code).toBe("MSB_ERR_REGISTRY_AUTH");
    expect(service.requests).toHaveLength(1);
  });

  it("is answered by the scheme that is understood, wherever it stands", async () => {
    const server = await startHttpServer((request, response) => {
      if (request.headers.authorization === basic) sendManifest(request, response);
      else refusing("Negotiate", 'Digest realm="a, Bearer", Basic realm="b"')(request, response);
    });
    const client = open(server, { registry: withPassword });
    expect((await client.getManifest(image(server))).bytes).toEqual(MANIFEST);
  });
});

describe("an authorization service", () => {
  const answering = async (answer: Handler): Promise<MsbError> => {
    const service = await startHttpServer(answer);
    const server = await startHttpServer((_, response) => {
      response.writeHead(401, { "www-authenticate": `Bearer realm="${service.url}/t?k=v"` }).end();
    });
    const registry = withPassword;
    return failure(open(server, { registry }).getManifest(image(server)));
  };
  const send =
    (body: string | Buffer, status = 200): Handler =>
    (_, response) =>
      void response.writeHead(status).end(body);

  it.each([
    ["an empty body", send(""), "MSB_ERR_REGISTRY"],
    ["no object", send("[1]"), "MSB_ERR_REGISTRY"],
    ["no token", send("{}"), "MSB_ERR_REGISTRY"],
    ["a token that forges headers", send('{"token":"a\\r\\nx: y"}'), "MSB_ERR_REGISTRY"],
    ["far too much", send(Buffer.alloc(300_000, " ")), "MSB_ERR_REGISTRY"],
    ["not found", send("", 404), "MSB_ERR_REGISTRY"],
    ["a refusal", send("", 403), "MSB_ERR_REGISTRY_AUTH"],
    ["a failure", send("", 500), "MSB_ERR_REGISTRY_UNAVAILABLE"],
    ["a redirect to a file", redirectTo("file:///etc/passwd"), "MSB_ERR_REGISTRY"],
  ] as const)("that answers with %s is an error", async (_, handler, code) => {
    expect((await answering(handler)).code).toBe(code);
  });

  it("keeps the query of its own URL and is asked with Basic", async () => {
    let asked: { url?: string; authorization?: string } = {};
    const error = await answering((request, response) => {
      asked = { url: request.url!, authorization: request.headers.authorization! };
      send('{"errors":[{"message":"no"}]}', 401)(request, response);
    });
    expect(asked.authorization).toBe(basic);
    expect(asked.url).toBe("/t?k=v&scope=repository%3Aa%2Fb%3Apull&account=u");
    expect(error.message).toContain("from settings.json");
  });
});

describe("what a registry says of an error", () => {
  it("is shown without control characters and not in full", async () => {
    const message = `\u001b[2J${"very ".repeat(1000)}`;
    const server = await startHttpServer((_, response) => {
      response.writeHead(404).end(JSON.stringify({ errors: [{ code: "GONE", message }] }));
    });
    const error = await failure(open(server).getManifest(image(server)));
    expect(error.code).toBe("MSB_ERR_IMAGE_NOT_FOUND");
    expect(error.message).toContain("It says: GONE: \ufffd[2Jvery very");
    expect(error.message.length).toBeLessThan(800);
  });

  it("never shows the credentials that it was sent", async () => {
    const server = await startHttpServer(
      behindBasic((request, response) => {
        const message = `${request.headers.authorization} is ${PASSWORD}`;
        response.writeHead(403).end(JSON.stringify({ errors: [{ code: "DENIED", message }] }));
      }),
    );
    const error = await failure(
      open(server, { registry: withPassword }).getManifest(image(server)),
    );
    expect(error.message).toContain("DENIED: Basic *** is ***.");
    expect(JSON.stringify(error)).not.toContain(basic.slice(6));
  });

  it("may be anything, and without end", async () => {
    const bodies = ["<html>", "[]", '{"errors":{}}', '{"errors":[null,1,{"code":2}]}', null];
    const server = await startHttpServer((_, response) => {
      response.writeHead(404);
      const body = bodies.shift();
      if (body !== null) return void response.end(body);
      const pump = (): void => {
        while (!response.destroyed && response.write("x".repeat(10_000)));
        if (!response.destroyed) response.once("drain", pump);
      };
      return pump();
    });
    const client = open(server);
    while (bodies.length > 0) {
      expect((await failure(client.getManifest(image(server)))).code).toBe(
        "MSB_ERR_IMAGE_NOT_FOUND",
      );
    }
  });
});

describe("what is no registry at all", () => {
  const rawServer = async (bytes: string) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(bytes));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    return { host: `127.0.0.1:${(server.address() as AddressInfo).port}` };
  };

  it.each([
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["a header that is too large", `HTTP/1.1 200 OK\r\nx: ${"y".repeat(40_000)}\r\n\r\n`],
    ["a chunk without size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
  ])("such as %s is told with advice", async (_, bytes) => {
    const server = await rawServer(bytes);
    const error = await failure(open(server).getManifest(image(server)));
    expect(error.code).toBe("MSB_ERR_REGISTRY");
    expect(error.message).toMatch(/not answer with HTTP.*"plainHttp": false/);
  });

  it("such as a server without TLS is told with the option to set", async () => {
    const server = await startHttpServer(sendManifest);
    const client = open(server, { registry: { plainHttp: false } });
    const error = await failure(client.getManifest(image(server)));
    expect(error.code).toBe("MSB_ERR_REGISTRY");
    expect(error.message).toMatch(/does not speak TLS.*"plainHttp": true/);
  });

  it("such as a port where nothing listens is tried again", async () => {
    const clock = instantClock();
    const nobody = { host: "127.0.0.1:9" };
    const refused = await failure(open(nobody, { clock }).getManifest(image(nobody)));
    expect(refused.code).toBe("MSB_ERR_REGISTRY_UNAVAILABLE");
    expect(clock.slept).toHaveLength(4);
  });
});

describe("an end that the caller wants", () => {
  it.each(["before the answer", "in the middle of a blob"])("comes at once %s", async (when) => {
    const controller = new AbortController();
    const { signal } = controller;
    const server = await startHttpServer((_, response) => {
      if (when === "before the answer") controller.abort();
      else response.write("0123");
    });
    const reading = (async () => {
      const blob = await open(server).openBlob(image(server), LAYER, { signal });
      for await (const _ of blob.body) controller.abort();
    })();
    expect((await failure(reading)).code).toBe("MSB_ERR_ABORTED");
    expect(server.requests).toHaveLength(1);
  });

  it("also by closing the client, and nothing begins after that", async () => {
    const server = await startHttpServer(() => void client[Symbol.asyncDispose]());
    const client: RegistryClient = open(server);
    const first = await failure(client.getManifest(image(server)));
    const second = await failure(client.getManifest(image(server)));
    expect([first.code, second.code]).toEqual(["MSB_ERR_ABORTED", "MSB_ERR_ABORTED"]);
    expect(server.requests).toHaveLength(1);
  });

  it("does not wait for a pause to pass", async () => {
    const server = await startHttpServer((_, response) => {
      response.writeHead(503, { "retry-after": "30" }).end();
    });
    const controller = new AbortController();
    const client = RegistryClient.open({
      settings: EMPTY_SETTINGS,
      env: {},
      onRetry: () => queueMicrotask(() => controller.abort()),
    });
    onTestFinished(() => client[Symbol.asyncDispose]());
    const asked = client.getManifest(image(server), { signal: controller.signal });
    expect((await failure(asked)).code).toBe("MSB_ERR_ABORTED");
  });
});

it("a digest is asked for by its name", async () => {
  const server = await startHttpServer(sendManifest);
  const digest: Digest = digestOf(MANIFEST);
  await open(server).getManifest(image(server, `:1@${digest}`));
  expect(server.requests[0]!.url).toBe(`/v2/a/b/manifests/${digest}`);
});
