/**
 * USB bridges that people have seen hang or lose commands under load with UAS, besides those that the kernel keeps from it by
 * itself (drivers/usb/storage/unusual_uas.h). `usb-storage.quirks=VID:PID:u` makes the plain driver serve them: slower, and steady.
 */
const BRIDGES: ReadonlyMap<string, string> = new Map([
  ["152d:0562", "JMicron JMS567"],
  ["152d:0578", "JMicron JMS578"],
  ["152d:0583", "JMicron JMS583"],
  ["152d:1561", "JMicron JMS561"],
  ["174c:1153", "ASMedia ASM1153"],
  ["174c:55aa", "ASMedia ASM1051, ASM1053 or ASM1153"],
  ["2109:0711", "VIA Labs VL711"],
  ["2109:0715", "VIA Labs VL716"],
  ["2537:1066", "Norelsys NS1066"],
  ["2537:1068", "Norelsys NS1068"],
]);

/** The bridge's name where it is known for this. */
export function quirkOf(usbId: string | undefined): string | undefined {
  return usbId === undefined ? undefined : BRIDGES.get(usbId);
}
