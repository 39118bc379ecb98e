/** A certificate that signs itself, for a host of tests. */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { tempDir } from "./temp-dir.js";

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  readonly certFile: string;
}

/** `names` are subject alternative names: `DNS:registry.test`, `IP:127.0.0.1`. */
export async function makeCertificate(...names: readonly string[]): Promise<Certificate> {
  const dir = await tempDir();
  const keyFile = join(dir, "key.pem");
  const certFile = join(dir, "cert.pem");
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "1", "-subj", "/CN=msb-test", "-addext", `subjectAltName=${names.join(",")}`],
      ...["-keyout", keyFile, "-out", certFile],
    ],
    { stdio: "ignore" },
  );
  const key = await readFile(keyFile, "utf8");
  return { key, cert: await readFile(certFile, "utf8"), certFile };
}
