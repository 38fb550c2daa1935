//! Talks to the relay: one connection for one message, within one time limit.

use std::{fmt, fs, path::PathBuf, time::Duration};

use lettre::{
    Address,
    message::Mailbox,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailParameter},
    },
};
use secrecy::ExposeSecret;

use super::{
    Draft, MailOptions, Refusal, Security,
    compose::{Composed, compose},
};
use crate::{
    egress::{Connector, Egress, EgressError},
    secrets::{self, SecretError},
};

/// Long enough for a lost SYN and its first repetitions.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a good-bye that nothing depends on.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends mail, if this hub does.
#[derive(Debug)]
pub(crate) struct Mailer(Option<Relay>);

struct Relay {
    host: String,
    port: u16,
    security: Security,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    from: Mailbox,
    hello: ClientId,
    timeout: Duration,
    connector: Connector,
}

/// Why `[mail]` does not hold.
#[derive(Debug, thiserror::Error)]
pub enum MailBuildError {
    /// A value that cannot work.
    #[error("{0}: {1}")]
    Value(&'static str, String),
    /// The password cannot be read.
    #[error(transparent)]
    Password(#[from] SecretError),
    /// The file of certificates cannot be used.
    #[error("mail.ca: {}: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No TLS.
    #[error("mail.security: tls: {0}")]
    Tls(String),
}

impl Mailer {
    /// Sends none.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// From configuration. The relay's own port counts among the usual ones; private addresses need `[egress] allow`.
    ///
    /// # Errors
    /// When the configuration does not hold, or names files that cannot be read.
    pub(crate) fn build(options: &MailOptions, egress: &Egress) -> Result<Self, MailBuildError> {
        if options.host.is_empty() {
            return Ok(Self(None));
        }
        if let Some((key, reason)) = options.mistakes().into_iter().next() {
            return Err(MailBuildError::Value(key, reason));
        }
        let from = options
            .sender()
            .ok_or(MailBuildError::Value("mail.from", "is not an address".to_owned()))?;
        let credentials = if options.username.is_empty() {
            None
        } else {
            let password = secrets::resolve("mail.password", &options.password)?;
            Some(Credentials::new(
                options.username.clone(),
                password.expose_secret().to_owned(),
            ))
        };
        Ok(Self(Some(Relay {
            tls: tls(options)?,
            credentials,
            hello: ClientId::Domain(from.email.domain().to_owned()),
            from,
            timeout: options.timeout.std(),
            connector: egress.connector_for(options.port()),
            host: options.host.to_ascii_lowercase(),
            port: options.port(),
            security: options.security,
        })))
    }

    /// Whether this hub sends mail at all.
    pub(crate) const fn is_configured(&self) -> bool {
        self.0.is_some()
    }

    /// Sends one message and answers its `Message-ID`, and which recipients do not get it: each with the relay's reason.
    ///
    /// # Errors
    /// When it was not taken; told apart by whether another attempt makes sense.
    pub(crate) async fn send(&self, draft: &Draft) -> Result<(String, Vec<String>), Refusal> {
        let Some(relay) = &self.0 else {
            return Err(Refusal::Denied(
                "this hub sends no mail: [mail] host is not set in hub.toml".to_owned(),
            ));
        };
        let composed = compose(draft, &relay.from, rand::random()).map_err(Refusal::Invalid)?;
        let exchange = async {
            let mut connection = relay.connect().await?;
            let outcome = relay.hand_over(&mut connection, &composed).await;
            match outcome {
                Ok(_) => drop(tokio::time::timeout(QUIT_TIMEOUT, connection.quit()).await),
                Err(_) => drop(tokio::time::timeout(QUIT_TIMEOUT, connection.abort()).await),
            }
            outcome
        };
        match tokio::time::timeout(relay.timeout, exchange).await {
            Ok(outcome) => outcome.map(|refused| (composed.id, refused)),
            Err(_) => Err(Refusal::Transient(format!(
                "the relay was not done within {} s",
                relay.timeout.as_secs_f32()
            ))),
        }
    }
}

impl Relay {
    /// To the first address that the rules let through and that answers.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Refusal> {
        let addresses = self.connector.allowed(&self.host, self.port).await;
        let addresses = addresses.map_err(|error| match EgressError::from(error) {
            EgressError::Denied(denied) => Refusal::Denied(denied.to_string()),
            other => Refusal::Transient(other.to_string()),
        })?;
        let mut last = Refusal::Transient(format!("{} has no address", self.host));
        for address in addresses {
            let wrapped = self.tls.clone().filter(|_| self.security == Security::Tls);
            let connecting =
                AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT_TIMEOUT), &self.hello, wrapped, None);
            match connecting.await {
                Ok(connection) => return self.introduce(connection).await,
                Err(error) => last = refusal(&error),
            }
        }
        Err(last)
    }

    /// TLS, if it comes after the greeting, and the sign-in.
    async fn introduce(&self, mut connection: AsyncSmtpConnection) -> Result<AsyncSmtpConnection, Refusal> {
        if self.security == Security::StartTls
            && let Some(tls) = &self.tls
        {
            if !connection.can_starttls() {
                connection.abort().await;
                return Err(Refusal::Transient(format!(
                    "{}:{} does not offer STARTTLS",
                    self.host, self.port
                )));
            }
            let upgraded = connection.starttls(tls.clone(), &self.hello).await;
            upgraded.map_err(|error| refusal(&error))?;
        }
        if let Some(credentials) = &self.credentials {
            let signed_in = connection
                .auth(&[Mechanism::Plain, Mechanism::Login], credentials)
                .await;
            if let Err(error) = signed_in {
                connection.abort().await;
                return Err(refusal(&error));
            }
        }
        Ok(connection)
    }

    /// One address that does not exist, or whose mailbox is full, must not keep a message from all others, so that recipients are
    /// asked for one by one. Answers who does not get it: there is no second attempt, which would send it to the others twice.
    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        composed: &Composed,
    ) -> Result<Vec<String>, Refusal> {
        let envelope = composed.message.envelope();
        let ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        let mut parameters = Vec::new();
        if !envelope.from().is_none_or(ascii) || !envelope.to().iter().all(ascii) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                let reason = "the relay takes only addresses in ASCII (it does not offer SMTPUTF8)";
                return Err(Refusal::Permanent(reason.to_owned()));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let said = |error: Error| refusal(&error);
        let begin = Mail::new(envelope.from().cloned(), parameters);
        connection.command(begin).await.map_err(said)?;
        let (mut refused, mut for_now) = (Vec::new(), false);
        for to in envelope.to() {
            match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => {
                    for_now |= error.is_transient();
                    refused.push(format!("{to}: {error}"));
                }
                Err(error) => return Err(said(error)),
            }
        }
        if refused.len() == envelope.to().len() {
            let of = if for_now {
                Refusal::Transient
            } else {
                Refusal::Permanent
            };
            return Err(of(refused.join("; ")));
        }
        connection.command(Data).await.map_err(said)?;
        connection.message(&composed.message.formatted()).await.map_err(said)?;
        if !refused.is_empty() {
            tracing::warn!(
                refused = refused.join("; "),
                "the relay refused some recipients of a message"
            );
        }
        Ok(refused)
    }
}

/// What the relay's word, or its silence, means for the message. A relay out of order is worth another attempt.
fn refusal(error: &Error) -> Refusal {
    if error.is_permanent() {
        Refusal::Permanent(error.to_string())
    } else {
        Refusal::Transient(error.to_string())
    }
}

fn tls(options: &MailOptions) -> Result<Option<TlsParameters>, MailBuildError> {
    if options.security == Security::None {
        return Ok(None);
    }
    let mut builder = TlsParameters::builder(options.host.to_ascii_lowercase());
    if let Some(path) = &options.ca {
        let refuse = |reason: String| MailBuildError::Ca {
            path: path.clone(),
            reason,
        };
        let pem = fs::read(path).map_err(|error| refuse(error.to_string()))?;
        let certificates = Certificate::from_pem(&pem).map_err(|error| refuse(error.to_string()))?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificates);
    }
    let parameters = builder
        .build()
        .map_err(|error| MailBuildError::Tls(error.to_string()))?;
    Ok(Some(parameters))
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}
