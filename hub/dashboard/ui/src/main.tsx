/** Starts the page. */

import { render } from "preact";
import { resume } from "./api/session";
import { App } from "./app";
import { followTheme } from "./lib/theme";
import { follow } from "./live/store";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/overview.css";
import "./styles/pages.css";
import "./styles/plugins.css";
import "./styles/telling.css";
import "./styles/metrics.css";

followTheme();
follow();
void resume();

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
