//! Lines in the hub's log, under the plugin's name. The hub limits how many.

pub use crate::bindings::channel::streamflow::plugin::log::Verbosity;
use crate::host;

/// For the plugin's author.
pub fn debug(message: &str) {
    host::log(Verbosity::Debug, message);
}

/// Worth knowing.
pub fn info(message: &str) {
    host::log(Verbosity::Info, message);
}

/// Something is not as it should be.
pub fn warn(message: &str) {
    host::log(Verbosity::Warn, message);
}

/// Something failed.
pub fn error(message: &str) {
    host::log(Verbosity::Error, message);
}

/// A panic ends the instance; without this its message would be lost with it.
pub(crate) fn panics_too() {
    if cfg!(target_family = "wasm") {
        std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
    }
}
