//! What tests of this room stand on.

use std::sync::Arc;

use streamflow_storage::Store;
use streamflow_web::{Auth, AuthOptions};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::accounts;

/// A real store in a folder of its own.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    folder: TempDir,
    token: CancellationToken,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = prometheus::Registry::new();
        let built = streamflow_storage::build(&streamflow_storage::Options::default(), folder.path(), &registry).await;
        let (store, service) = built.unwrap();
        let token = CancellationToken::new();
        tokio::spawn(service.run(token.clone()));
        Self { store, folder, token }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    pub(crate) fn auth(&self) -> Auth {
        Auth::build(
            &AuthOptions::default(),
            self.folder.path(),
            accounts(Arc::clone(&self.store)),
        )
        .unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.token.cancel();
    }
}
