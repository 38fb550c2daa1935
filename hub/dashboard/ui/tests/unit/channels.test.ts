import { describe, expect, it } from "vitest";
import type { Channel, ChannelHealth } from "../../src/api/types";
import { healthText } from "../../src/pages/channel-health";
import { readSettings, settingFields, settingTexts } from "../../src/pages/channel-setting";

function channel(health: Partial<ChannelHealth>, enabled = true): Channel {
  return { enabled, health: { breaker: "closed", failures: 0, paused_until: null, waiting: 0, given_up: 0, failing: null, ...health } } as Channel;
}

describe("channels", () => {
  it("say in words how they do", () => {
    expect(healthText(channel({}))).toEqual({ state: "good", words: "enabled", notes: [] });
    expect(healthText(channel({ waiting: 2 }, false))).toEqual({ state: "off", words: "disabled", notes: ["2 waiting"] });
    expect(healthText(channel({ failures: 1 }))).toEqual({ state: "failing", words: "failing", notes: ["1 failure in a row"] });
    expect(healthText(channel({ failing: true, given_up: 1 }))).toEqual({ state: "failing", words: "failing", notes: ["the last one was given up", "1 given up since the hub started"] });
    expect(healthText(channel({ breaker: "half_open", failures: 5 })).words).toBe("trying again");
    const paused = healthText(channel({ breaker: "open", failures: 5, paused_until: "2026-01-01T12:00:00Z", waiting: 3 }));
    expect([paused.state, paused.notes[1]]).toEqual(["paused", "3 waiting"]);
    expect(paused.notes[0]).toMatch(/^5 failures in a row, again at 2026/);
  });

  it("keep what was set when they are edited", () => {
    const config = { url: "https://x", tries: 3, token: "***", headers: { a: "b" }, fast: true };
    const fields = settingFields({
      properties: { url: { type: "string" }, tries: { type: "integer" }, token: { type: "string", writeOnly: true }, headers: { type: "object" }, fast: { type: "boolean" } },
    });
    expect(readSettings(fields, settingTexts(config))).toEqual(config);
  });
});
