/** Who a request comes from: types only. */

/** Namespace of keys that are for all namespaces. */
export const ANY_NAMESPACE = "*";

export interface Principal {
  /** The one namespace its key is for, or `*`. */
  readonly namespace: string;
  /** Names the key in logs and in revocations; null for keys of other makers, and in dev mode. */
  readonly keyId: string | null;
}

export interface Authenticator {
  /** Throws MSB_ERR_UNAUTHENTICATED, MSB_ERR_RATE_LIMITED (details: retryAfterSeconds). */
  authenticate(
    headers: { readonly authorization?: string; readonly proxyAuthorization?: string },
    remoteAddress: string,
  ): Promise<Principal>;
}
