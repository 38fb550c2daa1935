//! The engine that all plugins share, and the thread that makes time pass for them.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use wasmtime::{
    Config, Engine, Result, WasmFeatures,
    component::{HasSelf, Linker},
};

use super::{bindings::streamflow::plugin as host, guest::Guest};

/// Length of a tick: a guest that computes gives way to others, and may be ended, this often.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Enough for recursive decoders, small enough for many fibers.
const MAX_STACK: usize = 512 << 10;

/// What wasmtime has and guests do not get: each is surface that our plugins do not need. Several memories are among what they get: a
/// component that is composed of others, as QuickJS is, copies between theirs, and the budget counts all of them together.
const WITHOUT: WasmFeatures = WasmFeatures::THREADS
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::STACK_SWITCHING)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::CM_ASYNC);

/// Engine, linker and ticker.
pub(crate) struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Guest>,
    /// Also held by all code: a plugin may outlive its host, and must not outlive its clock.
    pub(super) ticker: Arc<Ticker>,
}

/// Why plugins cannot run at all.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The WebAssembly engine refuses its configuration.
    #[error("WebAssembly engine: {0:#}")]
    Engine(wasmtime::Error),
    /// No thread for the ticker.
    #[error("thread for plugin deadlines: {0}")]
    Thread(#[from] std::io::Error),
}

impl Sandbox {
    pub(crate) fn new() -> Result<Self, SandboxError> {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .max_wasm_stack(MAX_STACK)
            .wasm_features(WITHOUT, false);
        let engine = Engine::new(&config).map_err(SandboxError::Engine)?;
        let linker = link(&engine).map_err(SandboxError::Engine)?;
        let ticker = Ticker::start(engine.clone())?;
        Ok(Self {
            engine,
            linker,
            ticker: Arc::new(ticker),
        })
    }
}

/// What guests may import. A component that imports anything else does not link.
fn link(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    host::types::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::log::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::http::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::mail::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::group::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// Increments the epoch, as long as there is one of these. A thread of its own: on the async threads a guest that never yields could stop its own clock.
pub(super) struct Ticker {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread for plugin deadlines panicked");
        }
    }
}
