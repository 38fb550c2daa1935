//! `streamflow-hub plugin …`: from an idea to a plugin that runs in a hub.

mod api;
mod bench;
mod events;
mod language;
mod logs;
mod pack;
mod project;
mod run;
mod scaffold;
mod sdk;
mod shadow;
mod transform;

use std::{fs, path::Path};

use anyhow::Context;
use serde_json::{Value, json};
use streamflow_plugin_host::{
    check::{self, Checked},
    signature::{KeyTexts, SigningKey},
};

use super::{UsageError, block_on, print};
use crate::cli::{
    Common,
    plugin::{OnHub, PluginCommand},
};
use api::Api;
use pack::ManifestFile;

/// Runs one of the commands.
pub fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::New {
            common,
            name,
            kind,
            language,
        } => {
            let (dir, next) = scaffold::create(&name, kind, language)?;
            let text = format!("{} is ready; next:\n  cd {name}\n  {next}", dir.display());
            print::done(common.output, &text, &json!({"folder": dir}))
        }
        PluginCommand::Build { common, dir } => {
            let file = project::build(&dir)?;
            checked(&file)?;
            print::done(common.output, &file.display().to_string(), &json!({"file": file}))
        }
        PluginCommand::Pack {
            common,
            file,
            manifest,
            out,
        } => {
            let file = pack::pack(&file, ManifestFile::read(&manifest)?, out)?;
            checked(&file)?;
            print::done(common.output, &file.display().to_string(), &json!({"file": file}))
        }
        PluginCommand::Test { common, dir } => {
            project::test(&dir)?;
            print::done(common.output, "the plugin's tests pass", &json!({"ok": true}))
        }
        PluginCommand::Check { common, file } => {
            let found = checked(&file)?;
            print::done(common.output, &describe(&found), &summary(&found))
        }
        PluginCommand::Run {
            common,
            file,
            events,
            rule_config,
            matches,
            batch,
            then,
        } => {
            let asked = run::Asked {
                file: &file,
                events: &events,
                rule_config: &rule_config,
                matches: &matches,
                batch: batch as usize,
                then,
            };
            if transform::is_one(&file)? {
                return block_on(transform::run(&common, &asked));
            }
            block_on(run::run(&common, &asked))
        }
        PluginCommand::Bench {
            common,
            file,
            events,
            rule_config,
            batch,
            time,
        } => {
            let asked = bench::Asked {
                file: &file,
                events: events.as_deref(),
                rule_config: &rule_config,
                sizes: &batch,
                time,
            };
            if transform::is_one(&file)? {
                return block_on(transform::bench(&common, &asked));
            }
            block_on(bench::bench(&common, &asked))
        }
        PluginCommand::Keygen { common, name } => keygen(&common, &name),
        PluginCommand::Sign { common, file, key } => sign(&common, &file, &key),
        PluginCommand::Install {
            on,
            file,
            approve,
            shadow,
        } => {
            let bytes = read(&file)?;
            on_hub(&on, async |api: &Api| {
                let info = api.install(bytes, approve, shadow).await?;
                print::done(on.common.output, &told(&info), &info)
            })
        }
        PluginCommand::List { on } => on_hub(&on, async |api: &Api| {
            let plugins = api.list().await?;
            print::done(on.common.output, &table(&plugins), &plugins)
        }),
        PluginCommand::Inspect { on, name } => on_hub(&on, async |api: &Api| {
            let mut info = api.read(&name).await?;
            let mut text = toml::to_string(&without_nulls(&info))?;
            if info["shadow_version"].is_string() {
                let found = api.shadow(&name).await?;
                text.push_str(&shadow::describe(&found));
                info["shadow"] = found;
            }
            print::done(on.common.output, &text, &info)
        }),
        PluginCommand::Logs {
            on,
            name,
            follow,
            level,
            limit,
        } => on_hub(&on, async |api: &Api| {
            logs::print(&on.common, api, &name, &level, limit, follow).await
        }),
        PluginCommand::Promote { on, name } => act(&on, &name, "promote"),
        PluginCommand::Discard { on, name } => act(&on, &name, "discard"),
        PluginCommand::Approve { on, name } => act(&on, &name, "approve"),
        PluginCommand::Enable { on, name } => act(&on, &name, "enable"),
        PluginCommand::Disable { on, name } => act(&on, &name, "disable"),
        PluginCommand::Rollback { on, name } => act(&on, &name, "rollback"),
        PluginCommand::Remove { on, name, force } => on_hub(&on, async |api: &Api| {
            api.remove(&name, force).await?;
            print::done(
                on.common.output,
                &format!("removed {name}"),
                &json!({"name": name, "removed": true}),
            )
        }),
    }
}

fn on_hub(on: &OnHub, work: impl AsyncFnOnce(&Api) -> anyhow::Result<()>) -> anyhow::Result<()> {
    block_on(async {
        let api = Api::open(on).await?;
        let done = work(&api).await;
        api.close().await;
        done
    })
}

fn act(on: &OnHub, name: &str, what: &str) -> anyhow::Result<()> {
    on_hub(on, async |api: &Api| {
        let info = api.act(name, what).await?;
        print::done(on.common.output, &told(&info), &info)
    })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn checked(file: &Path) -> anyhow::Result<Checked> {
    let found = check::check(read(file)?);
    found.map_err(|reason| anyhow::anyhow!("{}: {reason}", file.display()))
}

fn describe(found: &Checked) -> String {
    let manifest = &found.manifest;
    let list = |items: Vec<String>| {
        if items.is_empty() {
            "none".to_owned()
        } else {
            items.join(", ")
        }
    };
    let fields = manifest.input.fields.iter().map(|field| field.path.clone());
    let shown = manifest.envelope().map(str::to_owned).chain(fields).collect();
    format!(
        "{} {}, a {} plugin: {}\nrights     {}\nshown      {}\nsize       {} bytes\nsha256     {}\nsignature  {}",
        manifest.name,
        manifest.version,
        manifest.kind.name(),
        manifest.description,
        list(manifest.capabilities()),
        list(shown),
        found.bytes,
        found.sha256,
        if found.signed { "there is one" } else { "none" },
    )
}

fn summary(found: &Checked) -> Value {
    let manifest = &found.manifest;
    json!({
        "name": manifest.name, "version": manifest.version, "kind": manifest.kind.name(), "capabilities": manifest.capabilities(),
        "envelope": manifest.envelope().collect::<Vec<_>>(), "fields": manifest.input.fields, "bytes": found.bytes, "sha256": found.sha256, "signed": found.signed,
    })
}

fn keygen(common: &Common, name: &Path) -> anyhow::Result<()> {
    let texts = KeyTexts::generate()?;
    let (secret, public) = (name.with_extension("key"), name.with_extension("pub"));
    for path in [&secret, &public] {
        if path.exists() {
            return Err(UsageError(format!(
                "{} exists already; another name, or remove it first",
                path.display()
            ))
            .into());
        }
    }
    private(&secret, &texts.secret).with_context(|| format!("{} cannot be written", secret.display()))?;
    fs::write(&public, &texts.public).with_context(|| format!("{} cannot be written", public.display()))?;
    let key = texts.public.lines().last().unwrap_or_default();
    let text = format!(
        "{} is the secret key: keep it to yourself\n{} is the public one; in hub.toml:\n[plugins]\ntrusted_keys = [\"{key}\"]",
        secret.display(),
        public.display()
    );
    print::done(
        common.output,
        &text,
        &json!({"secret": secret, "public": public, "key": key}),
    )
}

/// A file that only its owner may read.
fn private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn sign(common: &Common, file: &Path, key: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(key).with_context(|| format!("{} cannot be read", key.display()))?;
    let key = SigningKey::parse(&text).with_context(|| key.display().to_string())?;
    let found = checked(file)?;
    let comment = format!("{} {}", found.manifest.name, found.manifest.version);
    let signed = key.sign(&read(file)?, &comment)?;
    fs::write(file, signed).with_context(|| format!("{} cannot be written", file.display()))?;
    print::done(
        common.output,
        &format!("{}: signed by key {}", file.display(), key.id()),
        &json!({"file": file, "key": key.id()}),
    )
}

fn field<'a>(info: &'a Value, name: &str) -> &'a str {
    info[name].as_str().unwrap_or("")
}

fn told(info: &Value) -> String {
    let (name, version, state) = (field(info, "name"), field(info, "version"), field(info, "state"));
    match field(info, "reason") {
        "" => match field(info, "shadow_version") {
            "" => format!("{name} {version}: {state}"),
            shadow => format!("{name} {version}: {state}, with {shadow} in its shadow"),
        },
        reason if state == "awaiting_approval" => {
            format!("{name} {version}: {state}: {reason}\nstreamflow-hub plugin approve {name}")
        }
        reason => format!("{name} {version}: {state}: {reason}"),
    }
}

fn table(plugins: &Value) -> String {
    let row = |info: &Value| -> Vec<String> {
        let number = |name: &str| {
            info[name]
                .as_u64()
                .map_or_else(|| "-".to_owned(), |number| number.to_string())
        };
        vec![
            field(info, "name").to_owned(),
            field(info, "version").to_owned(),
            field(info, "kind").to_owned(),
            field(info, "state").to_owned(),
            number("calls"),
            number("errors"),
            number("traps"),
            field(info, "signature").to_owned(),
            field(info, "reason").to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = plugins
        .as_array()
        .map(|all| all.iter().map(row).collect())
        .unwrap_or_default();
    print::table(
        &[
            "NAME",
            "VERSION",
            "KIND",
            "STATE",
            "CALLS",
            "ERRORS",
            "TRAPS",
            "SIGNATURE",
            "REASON",
        ],
        &rows,
    )
}

/// TOML has no null.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}
