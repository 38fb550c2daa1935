//! What the interface in `wit/` looks like in Rust, generated.

wit_bindgen::generate!({
    path: "../wit",
    world: "channel-plugin",
    pub_export_macro: true,
    default_bindings_module: "streamflow_sdk::bindings",
});
