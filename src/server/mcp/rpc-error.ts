/** What JSON-RPC calls an error: the request itself was wrong. What a tool fails at is a result. */

const INVALID_PARAMS = -32602;
const METHOD_NOT_FOUND = -32601;

/** Its `code` is what the SDK's server puts into the answer. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export function invalidParams(message: string): RpcError {
  return new RpcError(INVALID_PARAMS, message);
}

export function methodNotFound(method: string): RpcError {
  return new RpcError(METHOD_NOT_FOUND, `Method not found: ${method.slice(0, 100)}`);
}
