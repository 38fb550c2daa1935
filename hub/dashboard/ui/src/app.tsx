/** The frame around every page: navigation, connection, keyboard, notes. */

import { computed, signal, useSignalEffect } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { session, signOut } from "./api/session";
import { listen, type Shortcut } from "./lib/keys";
import { lazy } from "./lib/lazy";
import { A, go, path } from "./lib/router";
import { nextTheme, theme } from "./lib/theme";
import { firing } from "./live/store";
import { AgentsPage } from "./pages/agents";
import { AlertsPage } from "./pages/alerts";
import { ChannelsPage } from "./pages/channels";
import { DrillsPage } from "./pages/drills";
import { Overview } from "./pages/overview";
import { RulesPage } from "./pages/rules";
import { SignIn } from "./pages/sign-in";
import { ConnectionBar, ConnectionPill, LiveSummary } from "./parts/connection";
import { Dialog } from "./parts/dialog";
import { IconButton } from "./parts/icon-button";
import { Icon, type IconName, Logo } from "./parts/icons";
import { Empty } from "./parts/states";
import { Toasts } from "./parts/toast";

interface PageInfo {
  path: string;
  title: string;
  icon: IconName;
  key: string;
  page: ComponentType;
}

// What is opened now and then is fetched then.
const SilencesPage = lazy(async () => (await import("./silences/page")).SilencesPage);
const RoutingPage = lazy(async () => (await import("./routing/page")).RoutingPage);
const MetricsPage = lazy(async () => (await import("./metrics/page")).MetricsPage);
const PluginsPage = lazy(async () => (await import("./plugins/page")).PluginsPage);
const SettingsPage = lazy(async () => (await import("./pages/settings")).SettingsPage);

const PAGES: PageInfo[] = [
  { path: "/", title: "Overview", icon: "overview", key: "g o", page: Overview },
  { path: "/alerts", title: "Alerts", icon: "alerts", key: "g a", page: AlertsPage },
  { path: "/silences", title: "Silences", icon: "silences", key: "g q", page: SilencesPage },
  { path: "/rules", title: "Rules", icon: "rules", key: "g r", page: RulesPage },
  { path: "/channels", title: "Channels", icon: "channels", key: "g c", page: ChannelsPage },
  { path: "/routing", title: "Routing", icon: "routing", key: "g t", page: RoutingPage },
  { path: "/explore", title: "Metrics", icon: "metrics", key: "g m", page: MetricsPage },
  { path: "/plugins", title: "Plugins", icon: "plugins", key: "g p", page: PluginsPage },
  { path: "/agents", title: "Agents", icon: "agents", key: "g n", page: AgentsPage },
  { path: "/drills", title: "Drills", icon: "drills", key: "g d", page: DrillsPage },
  { path: "/settings", title: "Settings", icon: "settings", key: "g s", page: SettingsPage },
];

/** As many pages have room in the bar of a phone; the others are behind "More". */
const IN_BAR = 4;

const helping = signal(false);
const more = signal(false);
const current = computed(() => PAGES.find((page) => page.path === path.value));

const SHORTCUTS: Shortcut[] = [
  ...PAGES.map(({ path: to, title, key }) => ({ keys: key, what: title, run: () => go(to) })),
  { keys: "/", what: "Filter the list", run: () => document.getElementById("filter")?.focus() },
  { keys: "t", what: "Theme: system, dark, light", run: nextTheme },
  { keys: "?", what: "This help", run: () => (helping.value = true) },
];

export function App() {
  const state = session.value;
  if (state.phase === "anonymous") return <SignIn notice={state.notice} />;
  if (state.phase === "starting") {
    return (
      <main class="starting" aria-busy="true">
        {state.unreachable && <p>The hub cannot be reached. Trying again…</p>}
      </main>
    );
  }
  return <Shell name={state.me.name} role={state.me.role} />;
}

function Shell({ name, role }: { name: string; role: string }) {
  useEffect(() => listen(() => SHORTCUTS), []);
  useSignalEffect(() => {
    const alarm = firing.value.length > 0 ? `(${firing.value.length}) ` : "";
    document.title = `${alarm}${current.value?.title ?? "Not found"} · StreamFlow`;
  });
  const page = current.value;
  const Content = page?.page;
  return (
    <>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <div class="shell">
        <nav class="rail" aria-label="Pages">
          <A to="/" class="brand">
            <Logo />
            <span>StreamFlow</span>
          </A>
          <ul>
            {PAGES.map((each, i) => (
              <li key={each.path} class={i < IN_BAR ? "" : "behind-more"}>
                <A to={each.path} class="nav" aria-current={each === page ? "page" : undefined} title={`${each.title} (${each.key})`}>
                  <Icon name={each.icon} />
                  <span class="nav-title">{each.title}</span>
                  {each.path === "/alerts" && firing.value.length > 0 && <span class="nav-count">{firing.value.length}</span>}
                </A>
              </li>
            ))}
            <li class="only-phone">
              <button type="button" class="nav" aria-label="More pages" aria-current={page !== undefined && PAGES.indexOf(page) >= IN_BAR ? "page" : undefined} onClick={() => (more.value = true)}>
                <Icon name="more" />
              </button>
            </li>
          </ul>
          <div class="rail-foot">
            <button type="button" class="nav" onClick={() => (helping.value = true)} title="Keyboard (?)">
              <Icon name="keyboard" />
              <span class="nav-title">Keyboard</span>
            </button>
            <button type="button" class="nav" onClick={nextTheme} title="Theme (t)" data-testid="theme">
              <Icon name="theme" />
              <span class="nav-title">Theme: {theme.value}</span>
            </button>
            <div class="who">
              <span class="who-name">
                {name}
                <small>{role}</small>
              </span>
              <IconButton icon="out" onClick={() => void signOut()} title="Sign out" label="Sign out" />
            </div>
          </div>
        </nav>
        <div class="main">
          <header class="top">
            <h1>{page?.title ?? "Not found"}</h1>
            <ConnectionPill />
          </header>
          <main id="content" tabIndex={-1}>
            {Content === undefined ? (
              <Empty icon="search" title="There is no such page">
                <A to="/">Go to the overview</A>
              </Empty>
            ) : (
              <Content />
            )}
          </main>
        </div>
      </div>
      <ConnectionBar />
      <LiveSummary />
      <Toasts />
      {helping.value && <Help />}
      {more.value && <More current={page} />}
    </>
  );
}

/** The pages that have no room in the bar of a phone. */
function More({ current: page }: { current: PageInfo | undefined }) {
  const close = (): void => void (more.value = false);
  return (
    <Dialog title="More" close={close}>
      <ul class="more-pages" onClick={close}>
        {PAGES.slice(IN_BAR).map((each) => (
          <li key={each.path}>
            <A to={each.path} class="nav" aria-current={each === page ? "page" : undefined}>
              <Icon name={each.icon} />
              <span>{each.title}</span>
            </A>
          </li>
        ))}
      </ul>
      <button type="button" class="nav" onClick={nextTheme}>
        <Icon name="theme" />
        <span>Theme: {theme.value}</span>
      </button>
    </Dialog>
  );
}

function Help() {
  return (
    <Dialog title="Keyboard" close={() => (helping.value = false)}>
      <dl class="shortcuts">
        {SHORTCUTS.map(({ keys, what }) => (
          <div key={keys}>
            <dt>
              {keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>↑</kbd>
            <kbd>↓</kbd>
          </dt>
          <dd>Step through the events of the stream</dd>
        </div>
        <div>
          <dt>
            <kbd>Esc</kbd>
          </dt>
          <dd>Close what is open</dd>
        </div>
      </dl>
    </Dialog>
  );
}
