/** The page of metrics. */

import assert from "node:assert/strict";
import { test } from "node:test";

export function metrics(world) {
  const { run, picture } = world;

  test("a metric is declared, its mistakes stand at their fields, it is drawn, and removed", async () => {
    const { page } = world.main;
    const name = `orders ${run}`;
    await page.click('.nav[href="/explore"]');
    await page.click('[data-metric="events_by_type"]');
    await page.waitForSelector('[data-testid=series] :text("shop.order")');
    assert.ok(await world.drawn(page, ".metric-plot canvas"));
    await page.click("text=New metric");
    await page.fill('.field:has-text("Name") input', name);
    await page.fill('.field:has-text("Match") textarea', "type ==");
    await page.click('dialog button[type="submit"]');
    await page.waitForSelector('.field.wrong:has-text("Match") .field-error');
    await page.fill('.field:has-text("Match") textarea', "type == 'shop.order'");
    await page.fill('.field:has-text("Window") input', "5s");
    await page.fill('.field:has-text("For each") input', "source");
    await page.click('dialog button[type="submit"]');
    await page.waitForSelector(`[data-testid=metric] h3:has-text("${name}")`);
    await page.waitForSelector('[data-testid=series] :text("shop-1")');
    await picture(page, "metrics");
    await page.click('[data-testid=metric] >> text="Remove"');
    await page.click("dialog .danger");
    await page.waitForSelector(`[data-testid=metrics] :text("${name}")`, { state: "detached" });
  });
}
