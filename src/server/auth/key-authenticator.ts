/** Lets in who has an API key of this server. */
import { isMsbError, MsbError } from "../../errors.js";
import type { MsbPaths } from "../../paths.js";
import { invalidToken, looksLikeApiKey, verifyApiKey } from "./api-key.js";
import type { Authenticator, Principal } from "./authenticator.js";
import { FailureLimit, type FailureLimitOpts } from "./failure-limit.js";
import { isRevoked } from "./revocations.js";
import type { ServerKey } from "./server-key.js";

const SCHEME = "Bearer ";

export class KeyAuthenticator implements Authenticator {
  readonly #serverKey: ServerKey;
  readonly #paths: MsbPaths;
  readonly #failureLimit: FailureLimit;

  constructor(
    serverKey: ServerKey,
    paths: MsbPaths,
    opts: { readonly failureLimit?: FailureLimitOpts } = {},
  ) {
    this.#serverKey = serverKey;
    this.#paths = paths;
    this.#failureLimit = new FailureLimit(opts.failureLimit);
  }

  /**
   * Takes Proxy-Authorization if it is there, else Authorization; `Bearer <key>` or the key alone. What is missing is
   * refused but not counted as a failure, because nothing was tried.
   */
  async authenticate(
    headers: { readonly authorization?: string; readonly proxyAuthorization?: string },
    remoteAddress: string,
  ): Promise<Principal> {
    const value = headers.proxyAuthorization ?? headers.authorization;
    if (value === undefined) throw invalidCredentials();
    try {
      return await this.#principalOf(value);
    } catch (error) {
      if (isMsbError(error, "MSB_ERR_UNAUTHENTICATED"))
        await this.#failureLimit.count(remoteAddress);
      throw error;
    }
  }

  async #principalOf(value: string): Promise<Principal> {
    const key = value.startsWith(SCHEME) ? value.slice(SCHEME.length) : value;
    if (!looksLikeApiKey(key)) throw invalidCredentials();
    const { namespace, keyId } = await verifyApiKey(this.#serverKey, key);
    if (keyId !== null && (await isRevoked(this.#paths, keyId))) throw invalidToken("revoked");
    return { namespace, keyId };
  }
}

function invalidCredentials(): MsbError {
  return new MsbError("MSB_ERR_UNAUTHENTICATED", "Invalid credentials", {
    details: { wireCode: 1001 },
  });
}
