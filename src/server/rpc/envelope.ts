/** The request around a call, checked in the order that clients of the old server see. */
import { MsbError } from "../../errors.js";
import { ANY_NAMESPACE, type Principal } from "../auth/authenticator.js";
import { mayUseNamespace } from "../namespace-access.js";
import { INVALID_REQUEST, JsonRpcError, NotARequestError } from "./failures.js";

export interface RpcRequest {
  readonly method: string;
  readonly params: unknown;
  readonly id: unknown;
}

/**
 * Throws NotARequestError, JsonRpcError (the version), MSB_ERR_INVALID_ARGUMENT and MSB_ERR_ACCESS_DENIED (the
 * namespace of a key that is for one). Batches are not known.
 */
export function readEnvelope(body: unknown, principal: Principal): RpcRequest {
  if (!isObject(body)) throw new NotARequestError("expected an object with jsonrpc and method");
  const { jsonrpc, method, params, id } = body;
  if (jsonrpc === undefined) throw new NotARequestError("missing field `jsonrpc`");
  if (typeof jsonrpc !== "string") throw new NotARequestError("jsonrpc: expected a string");
  if (method === undefined) throw new NotARequestError("missing field `method`");
  if (typeof method !== "string") throw new NotARequestError("method: expected a string");
  checkNamespaceOfKey(principal, method, params);
  if (jsonrpc !== "2.0") {
    throw new JsonRpcError(INVALID_REQUEST, id, "Invalid or missing jsonrpc version field");
  }
  return { method, params, id };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A key for one namespace must name it in every call, also in one that does not exist. */
function checkNamespaceOfKey(principal: Principal, method: string, params: unknown): void {
  if (principal.namespace === ANY_NAMESPACE) return;
  if (params === undefined) {
    throw new MsbError("MSB_ERR_INVALID_ARGUMENT", "Missing 'params' field in JSON-RPC request");
  }
  const namespace = isObject(params) ? params["namespace"] : undefined;
  if (typeof namespace !== "string") {
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `Missing or invalid 'namespace' in params for method '${method.slice(0, 100)}'`,
    );
  }
  if (!mayUseNamespace(principal, namespace)) {
    throw new MsbError("MSB_ERR_ACCESS_DENIED", "Access denied");
  }
}
