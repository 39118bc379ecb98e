export declare function busyboxImage(): Promise<string>;
export declare function fillBusyboxRoot(root: string): void;
