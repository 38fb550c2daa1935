/** The rates as the overview shows them, worked out once a tick for everything that draws them. */

import { computed } from "@preact/signals";
import { rates, version } from "../live/store";

const NAMED_TYPES = 7;

export const rateView = computed(() => {
  version.value;
  return rates.view(NAMED_TYPES);
});
