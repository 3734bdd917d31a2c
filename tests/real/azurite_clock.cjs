// Azurite's clock: the machine's, and the seconds ahead of it that are in the file of $AZURITE_AHEAD.
"use strict";

const { readFileSync } = require("node:fs");

const RealDate = Date;
const now = () => RealDate.now() + 1000 * Number(readFileSync(process.env.AZURITE_AHEAD, "utf8"));

globalThis.Date = new Proxy(RealDate, {
  construct: (target, given, made) => Reflect.construct(target, given.length ? given : [now()], made),
  get: (target, name, receiver) => (name === "now" ? now : Reflect.get(target, name, receiver)),
});
