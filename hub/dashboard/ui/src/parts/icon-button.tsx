/** A button that is an icon only: its label says what it does to whoever does not see it. */

import { Icon, type IconName } from "./icons";

interface IconButtonProps {
  icon: IconName;
  label: string;
  /** Shown under the pointer. */
  title?: string;
  disabled?: boolean;
  onClick: () => void;
}

export function IconButton({ icon, label, onClick, ...rest }: IconButtonProps) {
  return (
    <button type="button" class="ghost square" aria-label={label} onClick={onClick} {...rest}>
      <Icon name={icon} />
    </button>
  );
}
