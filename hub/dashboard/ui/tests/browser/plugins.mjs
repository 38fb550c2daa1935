/** The page of plugins: one is installed by upload, approved, used, fails, is released, gets a version in its shadow, and goes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Api } from "./api.mjs";
import { eventually, open, signIn } from "./browser.mjs";

const NAME = "testbed-rule-trap";

export function plugins(world) {
  const { base, password, run, picture, testbed } = world;
  const skip = testbed === null && "TESTBED is not set";
  const info = async () => (await world.api.call("GET", "/api/v1/plugins")).data.find((plugin) => plugin.name === NAME);
  const card = `[data-plugin="${NAME}"]`;

  /** Its state, once it has failed no more for some looks. */
  const settled = async () => {
    let before = null;
    let calm = 0;
    return eventually("it settles", async () => {
      const { state, traps } = await info();
      calm = before === traps ? calm + 1 : 0;
      before = traps;
      return calm >= 10 && state;
    });
  };
  const upload = async (page, file, way) => {
    await page.click('.page-head >> text="Install"');
    await page.setInputFiles('dialog input[type="file"]', `${testbed}/${file}`);
    await page.click(`dialog .way:has-text("${way}")`);
    await page.click('dialog button[type="submit"]');
    await page.waitForSelector("dialog", { state: "detached" });
  };
  const confirm = async (page, button) => {
    await page.click(`[data-testid=plugin-actions] >> text="${button}"`);
    const words = await page.textContent("dialog .confirm");
    await page.click("dialog .dialog-foot button:last-child");
    await page.waitForSelector("dialog", { state: "detached" });
    return words;
  };

  test("a plugin is uploaded, waits for somebody's word, and runs", { skip }, async () => {
    const { page } = world.main;
    await page.click('.nav[href="/plugins"]');
    await page.waitForSelector('[data-plugin="webhook"] [data-state=active]');
    await upload(page, "rule-trap.wasm", "Ask before it gets new rights");
    await page.waitForSelector(`${card} [data-state=awaiting_approval]`);
    assert.match(await page.textContent("[data-testid=approve]"), /Version 1\.0\.0 waits for approval.*asks for no rights/s);
    await picture(page, "plugin-approve");
    await page.click('[data-testid=approve] button:has-text("Approve")');
    await page.click("dialog .dialog-foot .primary");
    await page.waitForSelector(`${card} [data-state=active]`);
  });

  test("a rule uses it; when it fails too often the page says so and why, and it is released", { skip }, async () => {
    const { page } = world.main;
    const rule = { name: `trap ${run}`, kind: "plugin", plugin: NAME, match: "type == 'poison'", level: "info" };
    await world.api.call("POST", "/api/v1/rules", rule);
    await eventually("who uses it", async () => {
      await page.click('.nav[href="/rules"]');
      await page.click('.nav[href="/plugins"]');
      return (await page.textContent(card)).includes(`used by rule trap ${run}`);
    });
    // One at a time: what is sent beyond need would put it back into quarantine after its release.
    for (let state = "active"; state !== "quarantined"; ) {
      const { traps } = await info();
      await world.api.event("poison");
      await eventually("it fails", async () => {
        const now = await info();
        state = now.state;
        return state === "quarantined" || now.traps >= traps + 2;
      });
    }
    await page.waitForSelector(`${card} [data-state=quarantined]`);
    assert.match(await page.textContent("[data-testid=plugin-reason]"), /failed too often: it broke off.*In quarantine since/s);
    await page.click(".detail-tabs >> text=log");
    await page.waitForSelector('.log-lines .line-error:has-text("cannot look at row")');
    await picture(page, "plugin-quarantined");
    await page.selectOption(".log-head select", "error");
    await page.waitForSelector(".log-lines .line-error");
    assert.equal(await page.locator(".log-lines .line-debug, .log-lines .line-info").count(), 0);
    await page.click('.log-head >> text="Pause"');
    await page.waitForSelector('.log-head:has-text("held")');
    await page.click(".detail-tabs >> text=about");
    // It is shown again what it failed on since its last mark, and may be back at once: then it is released once more.
    for (let state = "quarantined"; state === "quarantined"; ) {
      assert.match(await confirm(page, "Release from quarantine"), /goes on from where it was/);
      state = await settled();
    }
    await page.waitForSelector(`${card} [data-state=active]`);
  });

  test("a version runs in its shadow, takes over, and is rolled back; who is cut off is named before it goes", { skip }, async () => {
    const { page } = world.main;
    await upload(page, "rule-trap2.wasm", "Run it in the shadow");
    await page.waitForSelector(`${card} .plugin-shadow:has-text("1.0.1")`);
    await page.waitForSelector("[data-testid=verdicts]");
    await picture(page, "plugin-shadow");
    assert.match(await confirm(page, "Promote the shadow"), /1\.0\.1 .* take over from 1\.0\.0/);
    await page.waitForSelector(`${card}:has-text("rule 1.0.1")`);
    assert.match(await confirm(page, "Roll back"), /1\.0\.1 .* back to 1\.0\.0/);
    await page.waitForSelector(`${card}:has-text("rule 1.0.0")`);
    await confirm(page, "Disable");
    await page.waitForSelector(`${card} [data-state=disabled]`);
    await confirm(page, "Enable");
    await page.waitForSelector(`${card} [data-state=active]`);
    assert.match(await confirm(page, "Remove"), new RegExp(`used by rule trap ${run}`));
    await page.waitForSelector(card, { state: "detached" });
    assert.equal(await info(), undefined);
  });

  test("a file that is no plugin is refused in words", async () => {
    const { page } = world.main;
    await page.click('.nav[href="/plugins"]');
    await page.click('.page-head >> text="Install"');
    await page.setInputFiles('dialog input[type="file"]', { name: "no.wasm", mimeType: "application/wasm", buffer: Buffer.from("no plugin") });
    await page.click('dialog button[type="submit"]');
    await page.waitForSelector("dialog .text-error");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
  });

  test("a viewer sees plugins and can change none", async () => {
    const name = `viewer-${run}`;
    await world.api.call("POST", "/api/v1/users", { username: name, password: "only-to-look", role: "viewer" });
    await Api.signIn(base, "only-to-look", name);
    const { context, page } = await open(world.browser);
    await signIn(page, base, "only-to-look", name);
    await page.click('.nav[href="/plugins"]');
    await page.click('[data-plugin="webhook"]');
    await page.waitForSelector("[data-testid=plugin] .rights");
    assert.equal(await page.locator("[data-testid=plugin-actions], .page-head button").count(), 0);
    for (const path of ["/silences", "/routing", "/explore", "/channels"]) {
      await page.click(`.nav[href="${path}"]`);
      await page.waitForSelector(".page:not(:has(.loading))");
      assert.equal(await page.locator(".page-head .primary, .item-actions, .row-actions button").count(), 0, path);
    }
    await context.close();
    await world.api.call("DELETE", `/api/v1/users/${name}`);
    assert.ok(password !== "only-to-look");
  });
}
