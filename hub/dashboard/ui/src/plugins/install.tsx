/** Sends a plugin's file to the hub. */

import { useState } from "preact/hooks";
import { install } from "../api/plugins";
import { bytes } from "../lib/format";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { FormFoot } from "../parts/form-foot";
import { reason, say } from "../parts/toast";

/** As the hub has it. */
const MOST_BYTES = 32 * 1024 * 1024;

const WAYS = ["wait", "run", "shadow"] as const;
type Way = (typeof WAYS)[number];

const WORDS: Record<Way, { title: string; hint: string }> = {
  wait: { title: "Ask before it gets new rights", hint: "It runs at once when it asks for nothing that was not approved before; else it waits, and you see what it asks for." },
  run: { title: "Run it, and approve what it asks for", hint: "It takes the place of the version that runs, between two batches of events." },
  shadow: { title: "Run it in the shadow of the version that runs", hint: "Rules only. Both are shown the same events; what the new one says is compared and goes nowhere. Its rights are approved." },
};

export function InstallForm({ close, installed }: { close: () => void; installed: (name: string) => void }) {
  const [file, setFile] = useState<File | null>(null);
  const [way, setWay] = useState<Way>("wait");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const large = file !== null && file.size > MOST_BYTES;

  const take = (files: FileList | null | undefined): void => {
    setFailure(null);
    setFile(files?.[0] ?? null);
  };

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (file === null) return;
    setBusy(true);
    setFailure(null);
    try {
      const plugin = await install(file, { approve: way !== "wait", shadow: way === "shadow" });
      say(plugin.state === "awaiting_approval" ? `${plugin.name} ${plugin.version} waits for approval` : way === "shadow" ? `${plugin.name} ${plugin.shadow_version ?? ""} runs in the shadow` : `Installed: ${plugin.name} ${plugin.version}`);
      installed(plugin.name);
    } catch (error) {
      setBusy(false);
      setFailure(error);
    }
  };

  return (
    <Dialog title="Install a plugin" close={close}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <Field label="File" hint="NAME.wasm, as the command “plugin build” makes it" errors={large ? [{ field: "file", reason: `it has ${bytes(file.size)}; at most ${bytes(MOST_BYTES)} are taken` }] : []}>
          {(ids) => (
            <input
              {...ids}
              class="file"
              type="file"
              accept=".wasm,application/wasm"
              autofocus
              onChange={(event) => take(event.currentTarget.files)}
            />
          )}
        </Field>
        <fieldset class="field ways">
          <legend>How</legend>
          {WAYS.map((each) => (
            <label key={each} class="way">
              <input type="radio" name="way" checked={way === each} onChange={() => setWay(each)} />
              <span>
                {WORDS[each].title}
                <small>{WORDS[each].hint}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <FormFoot form={{ busy: busy || file === null || large, failure }} words={reason} close={close} action={busy ? "Checking…" : "Install"} />
      </form>
    </Dialog>
  );
}
