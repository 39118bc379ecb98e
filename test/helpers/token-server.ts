/**
 * An authorization service for a registry, on loopback: the part of distribution's spec/auth that clients see
 * (token.md, oauth.md, jwt.md), with tokens signed by a key of its own.
 */
import { execFileSync } from "node:child_process";
import { randomUUID, sign, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const SERVICE = "msb-test-registry";
const ISSUER = "msb-test-issuer";

export interface TokenServerOpts {
  /** For the key and its certificate. */
  readonly dir: string;
  readonly username: string;
  readonly password: string;
  /** A refresh token that is taken in place of the password. */
  readonly identityToken: string;
}

export interface TokenServer {
  /** For `auth.token` in the registry's configuration. */
  readonly config: Readonly<Record<string, string>>;
  /** Method, URL and form of every request. */
  readonly requests: { method: string; url: URL; form: URLSearchParams }[];
  /** What the tokens say of their life, in seconds. */
  lifetimeS: number;
  close(): Promise<void>;
}

export async function startTokenServer(opts: TokenServerOpts): Promise<TokenServer> {
  const keyFile = join(opts.dir, "token.key");
  const certificateFile = join(opts.dir, "token.crt");
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=msb-test"],
      ...["-keyout", keyFile, "-out", certificateFile],
    ],
    { stdio: "ignore" },
  );
  const key = await readFile(keyFile);
  const certificate = new X509Certificate(await readFile(certificateFile)).raw.toString("base64");
  const requests: TokenServer["requests"] = [];
  const state = { lifetimeS: 300 };

  const issue = (scopes: readonly string[], subject: string): string => {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: ISSUER,
      sub: subject,
      aud: SERVICE,
      exp: now + 300,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access: scopes.map((scope) => {
        const [type, name, actions = ""] = scope.split(":");
        return { type, name, actions: actions.split(",") };
      }),
    };
    const header = { typ: "JWT", alg: "RS256", x5c: [certificate] };
    const encode = (part: object): string =>
      Buffer.from(JSON.stringify(part)).toString("base64url");
    const signed = `${encode(header)}.${encode(claims)}`;
    return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
  };

  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? "/", "http://service");
      const form = new URLSearchParams(await text(request));
      requests.push({ method: request.method ?? "", url, form });
      const params = request.method === "POST" ? form : url.searchParams;
      const scopes = params.getAll("scope").flatMap((scope) => scope.split(" "));
      if (!isKnown(request, form, opts)) {
        response.writeHead(401, { "content-type": "application/json" });
        response.end('{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}');
        return;
      }
      const token = issue(scopes, opts.username);
      const field = request.method === "POST" ? "access_token" : "token";
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ [field]: token, expires_in: state.lifetimeS }));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    config: {
      realm: `http://127.0.0.1:${port}/token`,
      service: SERVICE,
      issuer: ISSUER,
      rootcertbundle: certificateFile,
    },
    requests,
    get lifetimeS() {
      return state.lifetimeS;
    },
    set lifetimeS(seconds) {
      state.lifetimeS = seconds;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function isKnown(request: IncomingMessage, form: URLSearchParams, opts: TokenServerOpts): boolean {
  if (form.get("grant_type") === "refresh_token") {
    return form.get("refresh_token") === opts.identityToken;
  }
  const pair = Buffer.from(`${opts.username}:${opts.password}`).toString("base64");
  return request.headers.authorization === `Basic ${pair}`;
}
