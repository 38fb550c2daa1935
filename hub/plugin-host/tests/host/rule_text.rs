//! Rules written as WebAssembly text, for what no compiler would make.

use crate::fixture::{encoded, manifest};

/// Memory of a guest, and room in it for what the host hands over, from page 2 on.
pub const MEMORY: &str = r#"(memory (export "memory") 64)
    (global $top (mut i32) (i32.const 131072))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
        (global.set $top (i32.add (local.get $at) (local.get 3)))
        (local.get $at))"#;

/// Where the parts of a core module differ from one that says nothing.
pub struct RuleText {
    pub imports: &'static str,
    pub fields: &'static str,
    /// What `on-events` does; the number of rows is parameter 0.
    pub events: &'static str,
    pub manifest: &'static str,
}

impl Default for RuleText {
    fn default() -> Self {
        Self {
            imports: "",
            fields: "",
            events: "(call $list (i32.const 0) (i32.const 0))",
            manifest: "",
        }
    }
}

impl RuleText {
    pub fn build(&self, name: &str) -> Vec<u8> {
        self.build_version(name, "1.0.0")
    }

    pub fn build_version(&self, name: &str, version: &str) -> Vec<u8> {
        let Self {
            imports,
            fields,
            events,
            ..
        } = self;
        // Bytes 0.. hold `ok` without a value; 16.. a list; 64.. texts; from page 2 on what the host hands over, anew for each call.
        let text = format!(
            r#"(module
                {imports}
                {MEMORY}
                (func $list (param $at i32) (param $length i32) (result i32)
                    (global.set $top (i32.const 131072))
                    (i32.store8 (i32.const 16) (i32.const 0))
                    (i32.store (i32.const 20) (local.get $at))
                    (i32.store (i32.const 24) (local.get $length))
                    (i32.const 16))
                (data (i32.const 64) "key")
                {fields}
                (func (export "streamflow:plugin/rule@0.1.0#init") (param i32 i32 i32 i32 i32) (result i32) (i32.const 0))
                (func $events (param i32) (result i32) (local $i i32) {events})
                (func (export "streamflow:plugin/rule@0.1.0#on-events") (param $batch i32) (result i32)
                    (call $events (i32.load (local.get $batch))))
                (func (export "streamflow:plugin/rule@0.1.0#on-tick") (param i64) (result i32) (call $list (i32.const 0) (i32.const 0)))
                (func (export "streamflow:plugin/rule@0.1.0#save") (result i32) (call $list (i32.const 0) (i32.const 0)))
            )"#
        );
        encoded(
            &text,
            "rule",
            &manifest(name, "rule", self.manifest).replace("1.0.0", version),
        )
    }
}
