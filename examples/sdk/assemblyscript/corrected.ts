// One step along the correction of SCAFFOLD: the smallest trainer that reads it.
import { DECLINED, DELTA, correction, paramF64, steps, submit } from "./propeller_fl";

export function train(): i32 {
  const delta = correction();
  if (delta.length == 0) return DECLINED;
  const rate = f32(paramF64("learningRate", 0));
  for (let at = 0; at < delta.length; at++) delta[at] *= -rate;
  steps(1);
  submit(DELTA, delta, 1);
  return 0;
}
