//! The `mail` capability: hands a plugin's message to the relay of `[mail]`.

use std::time::Instant;

use super::{
    bindings::streamflow::plugin::mail::{self as wit, Error},
    guest::Guest,
};
use crate::mail::{Draft, Refusal};

impl wit::Host for Guest {
    async fn send(&mut self, message: wit::Message) -> Result<String, Error> {
        let wit::Message {
            from,
            to,
            subject,
            text,
            html,
            headers,
        } = message;
        let draft = Draft {
            from,
            to,
            subject,
            text,
            html,
            headers,
        };
        let started = Instant::now();
        let outcome = if self.take_mail() {
            self.setup.mailer.send(&draft).await
        } else {
            Err(Refusal::Denied("more than one message in one call".to_owned()))
        };
        self.waited += started.elapsed();
        self.setup.mail.count(match &outcome {
            Ok(_) => "sent",
            Err(Refusal::Denied(_)) => "denied",
            Err(Refusal::Invalid(_)) => "invalid",
            Err(Refusal::Transient(_)) => "transient",
            Err(Refusal::Permanent(_)) => "permanent",
        });
        if let Err(Refusal::Denied(reason)) = &outcome {
            let (plugin, used_by) = (self.setup.manifest.name.as_str(), &*self.used_by);
            tracing::warn!(plugin, used_by, reason, "mail of a plugin denied");
        }
        let outcome = outcome.map(|(id, refused)| {
            self.unreached = refused;
            id
        });
        outcome.map_err(|refusal| match refusal {
            Refusal::Denied(reason) => Error::Denied(self.shown(&reason)),
            Refusal::Invalid(reason) => Error::Invalid(self.shown(&reason)),
            Refusal::Transient(reason) => Error::Transient(self.shown(&reason)),
            Refusal::Permanent(reason) => Error::Permanent(self.shown(&reason)),
        })
    }
}
