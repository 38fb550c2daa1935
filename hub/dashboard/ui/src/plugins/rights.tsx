/** The rights of a plugin, one under the other, each with how it stands. */

import { Icon, type IconName } from "../parts/icons";
import { type Right, rightText } from "./view";

interface RightsProps {
  rights: Right[];
  /** Marks one that nobody has approved. */
  fresh: IconName;
  words: Record<Right["state"], string>;
}

export function Rights({ rights, fresh, words }: RightsProps) {
  return (
    <ul class="rights">
      {rights.map(({ right, state }) => (
        <li key={right} class={`right-${state}`}>
          <Icon name={state === "granted" ? "check" : state === "new" ? fresh : "close"} />
          <span>
            {rightText(right)}
            <small>{words[state]}</small>
          </span>
        </li>
      ))}
    </ul>
  );
}
