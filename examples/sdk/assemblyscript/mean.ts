// The mean of every feature over the fleet: a trainer without a gradient. Its model is the mean.
import { DECLINED, FULL, dataNext, metric, paramI64, submit } from "./propeller_fl";

export function train(): i32 {
  const features = i32(paramI64("data.features", 0));
  const labels = i32(paramI64("data.labels", 0));
  if (features == 0) return DECLINED;
  const record = new StaticArray<f32>(features + labels);
  const sum = new StaticArray<f64>(features);
  let seen: i64 = 0;
  while (dataNext(record) > 0) {
    for (let at = 0; at < features; at++) sum[at] += f64(record[at]);
    seen++;
  }
  if (seen == 0) return DECLINED;
  const mean = new StaticArray<f32>(features);
  for (let at = 0; at < features; at++) mean[at] = f32(sum[at] / f64(seen));
  metric("seen", f64(seen));
  submit(FULL, mean, seen);
  return 0;
}
