/** The page on a phone: everything within reach, nothing wider than the screen. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { axe, open, signIn } from "./browser.mjs";

export function phone(world, paths) {
  const { base, password, picture } = world;

  test("on a phone every page fits, and all are within reach", async () => {
    const { context, page, errors } = await open(world.browser, { viewport: { width: 390, height: 844 }, colorScheme: "light" });
    await signIn(page, base, password);
    for (const path of ["/", ...paths]) {
      const link = `.rail .nav[href="${path}"]`;
      if (await page.isVisible(link)) await page.click(link);
      else {
        await page.click('[aria-label="More pages"]');
        await page.click(`dialog .nav[href="${path}"]`);
      }
      await page.waitForFunction((wanted) => location.pathname === wanted, path);
      await page.waitForSelector("[data-testid=overview]:not(.skeleton), .page:not(:has(.loading))");
      const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(wide <= screen, `${path} is ${wide} wide on a screen of ${screen}`);
      assert.deepEqual(await axe(page), [], path);
      await picture(page, `phone${path === "/" ? "-overview" : path.replace("/", "-")}`);
    }
    assert.deepEqual(errors, []);
    await context.close();
  });
}
