// As much of Node's types as the tests use.

declare module "node:test" {
    export function test(name: string, run: () => void): void;
}

declare module "node:assert/strict" {
    const assert: {
        equal(actual: unknown, expected: unknown, message?: string): void;
        deepEqual(actual: unknown, expected: unknown, message?: string): void;
        ok(actual: unknown, message?: string): void;
        throws(run: () => unknown, expected?: RegExp): void;
    };
    export default assert;
}
