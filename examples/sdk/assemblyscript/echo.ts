/** Says what it hears, with the topic before it, until it hears nothing for a while. */
import { publish, receive, receiveTopic } from "./propeller";

export function echo(): i32 {
  let count = 0;
  for (let data = receive("in", 20000); data != null; data = receive("in", 50)) {
    const text = receiveTopic() + " " + String.UTF8.decode(data.buffer.slice(0, data.length));
    publish("out", Uint8Array.wrap(String.UTF8.encode(text)));
    count++;
  }
  return count;
}
