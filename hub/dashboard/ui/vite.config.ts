import { defineConfig } from "vite";

// `npm run dev` talks to a hub that is already running; STREAMFLOW_HUB says where.
const hub = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env.STREAMFLOW_HUB ?? "http://127.0.0.1:8080";
// The Host stays the browser's own: the hub lets a WebSocket in only from the page's own origin.
const proxied = { target: hub, changeOrigin: false };

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    // The hub's policy allows scripts and styles as files only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    reportCompressedSize: true,
  },
  server: {
    proxy: { "/api": proxied, "/auth": proxied, "/health": proxied, "/events": proxied, "/ws": { ...proxied, ws: true } },
  },
});
