/** Answers with its request in capitals, and says who asked. */
import { config, input, INFO, log, metric, nowMs, output, outputText, outputType, publish, random, read, request, TAKEN, write } from "./propeller";

export function upper(): i32 {
  const data = input();
  for (let i = 0; i < data.length; i++) {
    if (data[i] >= 0x61 && data[i] <= 0x7a) data[i] -= 32;
  }
  outputType("text/plain");
  output(data);
  const name = config("NAME");
  if (name != null) outputText(" " + name);
  if (request("header:x-none") != null || nowMs() == 0 || random(16).length != 16) return 1;
  metric("bytes", data.length);
  log(INFO, "done");
  if (publish("out", data) != TAKEN) return 2;
  return read("level") == 2.5 && write("lamp", 1) == TAKEN ? 0 : 3;
}
