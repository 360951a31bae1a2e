// The nth Fibonacci number, in AssemblyScript: one typed export, no imports.
// `run: {entrypoint: fib, args: ["30"]}` gives the result "832040".
export function fib(n: i32): i64 {
  let a: i64 = 0;
  let b: i64 = 1;
  for (let i = 0; i < n; i++) {
    const next = a + b;
    a = b;
    b = next;
  }
  return a;
}
