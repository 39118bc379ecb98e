/** What an archive may cost. */
export interface ArchiveLimits {
  /** Bytes that are spooled: of a stream, or of a packed archive when it is unpacked. */
  readonly maxSpooledBytes: number;
  /** Unpacked bytes to packed ones, once 256 MiB came out. */
  readonly maxRatio: number;
  /** Entries of the tar file. */
  readonly maxEntries: number;
  /** Images that one archive brings. */
  readonly maxImages: number;
}

export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = {
  maxSpooledBytes: 128 * 1024 ** 3,
  maxRatio: 200,
  maxEntries: 100_000,
  maxImages: 1000,
};
