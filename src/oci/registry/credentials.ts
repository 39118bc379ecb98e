/** Names and secrets for registries, and the forms they are sent in. */

export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token. */
  | { readonly kind: "identityToken"; readonly token: string };

export interface CredentialLookup {
  readonly credentials: Credentials | undefined;
  /** Where they are from, or where they were looked for, for people. */
  readonly source: string;
  /** What went wrong on the way; a pull without credentials may succeed all the same. */
  readonly problems: readonly string[];
}

/** Every text that would give these away, in every form they are sent. */
export function secretsOf(credentials: Credentials | undefined): string[] {
  if (credentials === undefined) return [];
  if (credentials.kind === "identityToken") {
    return [credentials.token, encodeURIComponent(credentials.token)];
  }
  const { password } = credentials;
  return [password, encodeURIComponent(password), basicOf(credentials)];
}

/** The value of Basic authentication (RFC 7617, in UTF-8). */
export function basicOf({ username, password }: { username: string; password: string }): string {
  return Buffer.from(`${username}:${password}`).toString("base64");
}
