/** What an image may cost: layers come from strangers, and a small one can expand to anything. */
export interface LayerLimits {
  /** Uncompressed bytes of one layer. */
  readonly maxLayerBytes: number;
  /** Uncompressed bytes to compressed ones, once 256 MiB came out. */
  readonly maxRatio: number;
  /** Bytes of all files, holes of sparse files included. */
  readonly maxFileBytes: number;
  /** Entries of all layers together. */
  readonly maxEntries: number;
}

export const DEFAULT_LAYER_LIMITS: LayerLimits = {
  maxLayerBytes: 64 * 1024 ** 3,
  maxRatio: 200,
  maxFileBytes: 128 * 1024 ** 3,
  maxEntries: 1_000_000,
};
