export declare function busyboxImage(): Promise<string>;
