//! `${secret:NAME}`: filled in on the way out, so that no plugin ever holds the value.

use std::{collections::BTreeMap, fs};

use secrecy::{ExposeSecret, SecretString};

use crate::options::SecretOptions;

const OPEN: &str = "${secret:";

/// The secrets of `[plugins.secrets]`.
#[derive(Debug, Default)]
pub(crate) struct Secrets(BTreeMap<String, Secret>);

#[derive(Debug)]
struct Secret {
    value: SecretString,
    /// None: any host.
    hosts: Option<Vec<String>>,
}

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither `env:` nor `file:`.
    #[error("{0}: write \"env:NAME\" or \"file:/path\"")]
    Form(String),
    /// The variable is not set.
    #[error("{name}: environment variable {variable} is not set")]
    Unset {
        /// The secret.
        name: String,
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("{name}: {path}: {source}")]
    File {
        /// The secret.
        name: String,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Secrets {
    pub(crate) fn read(options: &BTreeMap<String, SecretOptions>) -> Result<Self, SecretError> {
        let mut secrets = BTreeMap::new();
        for (name, option) in options {
            let (from, hosts) = match option {
                SecretOptions::Anywhere(from) => (from, None),
                SecretOptions::Bound { from, hosts } => (from, Some(hosts.clone())),
            };
            secrets.insert(
                name.clone(),
                Secret {
                    value: resolve(&format!("[plugins.secrets] {name}"), from)?,
                    hosts,
                },
            );
        }
        Ok(Self(secrets))
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Puts values in place of names. `may` says which names the caller may use; the hosts that the values are bound to
    /// are added to `bound`.
    ///
    /// # Errors
    /// In words, without any value.
    pub(crate) fn fill(
        &self,
        text: &str,
        may: &[String],
        bound: &mut Vec<(String, Vec<String>)>,
    ) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("`{OPEN}` without `}}`"))?;
            if !may.iter().any(|own| own == name) {
                return Err(format!(
                    "secret `{name}` is neither in the channel's configuration nor in the manifest"
                ));
            }
            let secret = self
                .0
                .get(name)
                .ok_or_else(|| format!("secret `{name}` is not in [plugins.secrets]"))?;
            if let Some(hosts) = &secret.hosts {
                bound.push((name.to_owned(), hosts.clone()));
            }
            filled.push_str(before);
            filled.push_str(secret.value.expose_secret());
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Hides every value that stands in a text.
    pub(crate) fn redact(&self, text: &mut String) {
        for secret in self.0.values() {
            hide(text, secret.value.expose_secret());
        }
    }
}

/// Replaces a value that must not be shown. Very short values are left: hiding them would hide everything.
pub(crate) fn hide(text: &mut String, value: &str) {
    if value.len() >= 4 && text.contains(value) {
        *text = text.replace(value, "***");
    }
}

/// Names of the secrets that a text asks for.
pub(crate) fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(OPEN)
        .skip(1)
        .filter_map(|after| after.split_once('}'))
        .map(|(name, _)| name)
}

/// Reads what a key of the configuration points at. `name` is the key, for errors.
pub(crate) fn resolve(name: &str, from: &str) -> Result<SecretString, SecretError> {
    if let Some(variable) = from.strip_prefix("env:") {
        let unset = |_| SecretError::Unset {
            name: name.to_owned(),
            variable: variable.to_owned(),
        };
        return std::env::var(variable).map(SecretString::from).map_err(unset);
    }
    let path = from
        .strip_prefix("file:")
        .ok_or_else(|| SecretError::Form(name.to_owned()))?;
    let text = fs::read_to_string(path).map_err(|source| SecretError::File {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    // Editors and `echo` end files with a newline that is not part of the secret.
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> (tempfile::TempDir, Secrets) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "s3cret\n").unwrap();
        let from = format!("file:{}", path.display());
        let options = BTreeMap::from([
            ("ops".to_owned(), SecretOptions::Anywhere(from.clone())),
            (
                "bound".to_owned(),
                SecretOptions::Bound {
                    from,
                    hosts: vec!["a.example.org".to_owned()],
                },
            ),
        ]);
        let secrets = Secrets::read(&options).unwrap();
        (dir, secrets)
    }

    #[test]
    fn values_are_filled_in_where_allowed() {
        let (_dir, secrets) = secrets();
        let may = ["ops".to_owned(), "bound".to_owned(), "gone".to_owned()];
        let fill = |text: &str, may: &[String]| secrets.fill(text, may, &mut Vec::new());
        assert_eq!(fill("Bearer ${secret:ops}!", &may), Ok("Bearer s3cret!".to_owned()));
        assert_eq!(fill("${secret:ops}${secret:ops}", &may), Ok("s3crets3cret".to_owned()));
        assert_eq!(fill("plain $ {secret", &may), Ok("plain $ {secret".to_owned()));
        assert!(fill("${secret:ops}", &[]).unwrap_err().contains("`ops` is neither"));
        assert!(
            fill("${secret:gone}", &may)
                .unwrap_err()
                .contains("`gone` is not in [plugins.secrets]")
        );
        assert!(fill("${secret:ops", &may).is_err());
        let mut bound = Vec::new();
        secrets.fill("${secret:bound}", &may, &mut bound).unwrap();
        assert_eq!(bound, [("bound".to_owned(), vec!["a.example.org".to_owned()])]);
    }

    #[test]
    fn values_never_show() {
        let (_dir, secrets) = secrets();
        let mut text = "refused s3cret, s3cret".to_owned();
        secrets.redact(&mut text);
        assert_eq!(text, "refused ***, ***");
        assert!(!format!("{secrets:?}").contains("s3cret"));
        assert_eq!(
            names("a ${secret:x} ${secret:y} ${secret:").collect::<Vec<_>>(),
            ["x", "y"]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let read = |from: &str| {
            let options = BTreeMap::from([("ops".to_owned(), SecretOptions::Anywhere(from.to_owned()))]);
            Secrets::read(&options).unwrap_err().to_string()
        };
        assert!(read("hunter2").contains("ops: write"));
        assert!(read("env:STREAMFLOW_NO_SUCH_VARIABLE").contains("STREAMFLOW_NO_SUCH_VARIABLE is not set"));
        assert!(read("file:/no/such/file").contains("/no/such/file"));
    }
}
