//! `streamflow-componentize MODULE.wasm plugin.toml OUT.wasm`: makes the one file that a plugin ships as.

use std::{fs, path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, manifest, out] = arguments.as_slice() else {
        return fail(2, "usage: streamflow-componentize MODULE.wasm plugin.toml OUT.wasm");
    };
    let made = fs::read(module)
        .map_err(|error| format!("{}: {error}", module.display()))
        .and_then(|module_bytes| {
            let text = fs::read_to_string(manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
            let component = streamflow_component::encode(&module_bytes, &text)
                .map_err(|error| format!("{} with {}: {error}", module.display(), manifest.display()))?;
            fs::write(out, component).map_err(|error| format!("{}: {error}", out.display()))
        });
    made.map_or_else(|message| fail(1, &message), |()| ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "a command's errors go to stderr")]
fn fail(status: u8, message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(status)
}
