//! Mail through a real SMTP server: with STARTTLS, with TLS and without, and what happens to what the server does not take.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use streamflow_tests::{
    Api, Hub, HubConfig,
    binaries::{binary, root},
    eventually_some, hub,
    process::Process,
};

const USER: &str = "streamflow";
const PASSWORD: &str = "correct horse";

/// The interpreter that has aiosmtpd: the system's, for which Debian packages it, or whatever is called so.
fn python() -> Option<&'static str> {
    let has = |program: &&str| {
        let output = Command::new(program).args(["-c", "import aiosmtpd"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(has);
    if found.is_none() {
        assert!(
            std::env::var("CI").is_err(),
            "aiosmtpd is not installed; scripts/setup.sh test installs it"
        );
        println!("skipped: aiosmtpd is not installed");
    }
    found
}

/// A mail server with a certificate of its own.
struct Relay {
    process: Process,
    dir: tempfile::TempDir,
    port: u64,
}

impl Relay {
    fn start(python: &str, security: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let mut command = Command::new(python);
        command.arg(root().join("tests/e2e/smtp_server.py")).arg(security);
        if security != "none" {
            command
                .args([dir.path().join("cert.pem"), dir.path().join("key.pem")])
                .args([USER, PASSWORD]);
        }
        let mut process = Process::start(&mut command, &dir.path().join("smtp.log"));
        let port = process.wait_for_event("ready").pop().unwrap()["port"].as_u64().unwrap();
        Self { process, dir, port }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `[mail]` for this server, with the password in a file.
    fn options(&self, security: &str, password: &Path) -> String {
        let signed_in = if security == "none" {
            String::new()
        } else {
            format!(
                "username = {USER:?}\npassword = \"file:{}\"\nca = {:?}\n",
                password.display(),
                self.file("cert.pem")
            )
        };
        format!(
            "[mail]\nhost = \"localhost\"\nport = {}\nsecurity = {security:?}\nfrom = \"StreamFlow <alerts@example.com>\"\n{signed_in}",
            self.port
        )
    }

    fn hub(&self, options: &str) -> Hub {
        Hub::start(&HubConfig {
            egress: vec![format!("localhost:{}", self.port)],
            more: format!("[alerting]\nbreaker_failures = 0\n{options}"),
            ..HubConfig::default()
        })
    }

    fn next_mail(&mut self) -> Value {
        self.process.wait_for_event("mail").pop().unwrap()
    }
}

async fn channel(api: &Api, name: &str, config: Value) {
    let channel = json!({"name": name, "plugin": "email", "config": config});
    let (status, body) = api.post("/api/v1/channels", &channel).await;
    assert_eq!(status, 201, "{body}");
}

async fn test(api: &Api, name: &str) -> Value {
    let (status, body) = api.post(&format!("/api/v1/channels/{name}/test"), &json!({})).await;
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

async fn delivery(api: &Api, name: &str, state: &str) -> Value {
    eventually_some(&format!("{name} is {state}"), async || {
        let (_, log) = api
            .get(&format!("/api/v1/deliveries?channel={name}&state={state}"))
            .await;
        hub::data(&log).into_iter().find(|one| one["test"] != true)
    })
    .await
}

#[tokio::test]
async fn mail_goes_out_with_starttls_with_tls_and_without() {
    let Some(python) = python() else { return };
    for security in ["starttls", "tls", "none"] {
        let mut relay = Relay::start(python, security);
        let hub = relay.hub(&relay.options(security, &relay.file("password")));
        let api = hub.admin().await;
        channel(
            &api,
            "mail",
            json!({"to": "Eva <eva@example.org>, max@example.org", "subject_prefix": "[shop]"}),
        )
        .await;
        let outcome = test(&api, "mail").await;
        assert_eq!(outcome["state"], "delivered", "{security}: {outcome}");
        let mail = relay.next_mail();
        let protected = security != "none";
        assert_eq!(
            (&mail["tls"], &mail["authenticated"]),
            (&json!(protected), &json!(protected)),
            "{security}: {mail}"
        );
        assert_eq!(mail["mail_from"], "alerts@example.com");
        assert_eq!(mail["rcpt_tos"], json!(["eva@example.org", "max@example.org"]));
        let headers = &mail["headers"];
        assert_eq!(headers["from"], "StreamFlow <alerts@example.com>");
        assert!(
            headers["subject"].as_str().unwrap().starts_with("[shop] [test] "),
            "{headers}"
        );
        assert_eq!(headers["message-id"], outcome["reference"]);
        assert_eq!(headers["auto-submitted"], "auto-generated");
        assert!(
            headers["content-type"]
                .as_str()
                .unwrap()
                .starts_with("multipart/alternative"),
            "{headers}"
        );
        assert_eq!(mail["defects"], json!([]));
        for kind in ["text/plain", "text/html"] {
            assert!(!mail["parts"][kind].as_str().unwrap().is_empty(), "{kind}: {mail}");
        }
        let sent = hub.metric("streamflow_plugin_mails_total").await;
        assert!(sent >= 1.0, "{sent}");
    }
}

#[tokio::test]
async fn an_alert_is_mailed_and_so_is_its_end_and_the_servers_word_decides() {
    let Some(python) = python() else { return };
    let mut relay = Relay::start(python, "none");
    let hub = relay.hub(&relay.options("none", &relay.file("password")));
    let api = hub.admin().await;
    channel(
        &api,
        "ops",
        json!({"to": ["eva@example.org", "nobody@example.org"], "from": "pager@example.com"}),
    )
    .await;
    channel(&api, "gone", json!({"to": "nobody@example.org"})).await;
    channel(&api, "slow", json!({"to": "slow@example.org"})).await;
    let rule = json!({"name": "disk é full\r\nBcc: thief@example.net", "match": "type == 'disk'", "window": "1h", "group_by": ["source"],
                      "condition": "value >= threshold", "threshold": 1, "level": "critical", "channels": ["ops", "gone", "slow"]});
    let (status, body) = api.post("/api/v1/rules", &rule).await;
    // A name of two lines may be refused; one line must work as well.
    if status != 201 {
        let mut one_line = rule.clone();
        one_line["name"] = json!("disk é full");
        assert_eq!(api.post("/api/v1/rules", &one_line).await.0, 201, "{body}");
    }
    let event = json!({"type": "disk", "source": "<b>web-1</b>"});
    assert_eq!(api.post("/events", &event).await.0, 202);

    let kept = delivery(&api, "ops", "delivered").await;
    let refused = delivery(&api, "gone", "failed").await;
    assert_eq!(refused["attempts"], 1);
    assert!(refused["error"].as_str().unwrap().contains("no such user"), "{refused}");
    let again = delivery(&api, "slow", "delivered").await;
    assert_eq!(again["attempts"], 2, "{again}");

    let mut mails = [relay.next_mail(), relay.next_mail()];
    mails.sort_by_key(|mail| mail["rcpt_tos"].to_string());
    let [ops, slow] = mails;
    assert_eq!(
        ops["rcpt_tos"],
        json!(["eva@example.org"]),
        "one address that is refused keeps it from nobody else"
    );
    assert_eq!(
        (&ops["mail_from"], &ops["headers"]["from"]),
        (&json!("pager@example.com"), &json!("pager@example.com"))
    );
    let (id, unreached) = kept["reference"].as_str().unwrap().split_once(' ').unwrap();
    assert_eq!(ops["headers"]["message-id"], id);
    assert!(
        unreached.contains("not delivered to nobody@example.org") && unreached.contains("no such user"),
        "the delivery tells whom it did not reach: {kept}"
    );
    assert_eq!(ops["headers"]["importance"], "high");
    assert!(
        ops["headers"]["subject"].as_str().unwrap().contains("disk é full"),
        "{ops}"
    );
    assert_eq!(ops["headers"]["bcc"], Value::Null);
    let html = ops["parts"]["text/html"].as_str().unwrap();
    assert!(
        html.contains("&lt;b&gt;web-1&lt;/b&gt;") && !html.contains("<b>web-1"),
        "{html}"
    );
    assert_eq!(slow["rcpt_tos"], json!(["slow@example.org"]));

    let id = kept["alert_id"].as_str().unwrap();
    assert_eq!(
        api.post(&format!("/api/v1/alerts/{id}/resolve"), &json!({"comment": "cleaned"}))
            .await
            .0,
        200
    );
    let over = loop {
        let mail = relay.next_mail();
        if mail["rcpt_tos"] == json!(["eva@example.org"]) {
            break mail;
        }
    };
    assert!(
        over["headers"]["subject"].as_str().unwrap().starts_with("[resolved] "),
        "{over}"
    );
    assert_eq!(
        over["headers"]["references"], ops["headers"]["references"],
        "one thread"
    );
}

#[tokio::test]
async fn a_relay_that_cannot_be_trusted_or_does_not_trust_us_gets_no_mail() {
    let Some(python) = python() else { return };
    let relay = Relay::start(python, "starttls");
    let reason = async |options: String| {
        let hub = relay.hub(&options);
        let api = hub.admin().await;
        channel(&api, "mail", json!({"to": "eva@example.org"})).await;
        let outcome = test(&api, "mail").await;
        assert_ne!(outcome["state"], "delivered", "{outcome}");
        outcome["error"].as_str().unwrap().to_owned()
    };
    let wrong = relay.file("wrong");
    std::fs::write(&wrong, "wrong horse\n").unwrap();
    let error = reason(relay.options("starttls", &wrong)).await;
    assert!(error.contains("535") && !error.contains("wrong horse"), "{error}");

    let other = Relay::start(python, "starttls");
    let right = relay.options("starttls", &relay.file("password"));
    let stranger = right.replace(
        &relay.file("cert.pem").display().to_string(),
        &other.file("cert.pem").display().to_string(),
    );
    assert_ne!(right, stranger);
    let error = reason(stranger).await;
    assert!(error.to_lowercase().contains("certificate"), "{error}");

    let plain = Relay::start(python, "none");
    let downgraded = right.replace(&format!("port = {}", relay.port), &format!("port = {}", plain.port));
    let hub = plain.hub(&downgraded);
    let api = hub.admin().await;
    channel(&api, "mail", json!({"to": "eva@example.org"})).await;
    let outcome = test(&api, "mail").await;
    assert!(
        outcome["error"].as_str().unwrap().contains("does not offer STARTTLS"),
        "{outcome}"
    );

    // A relay on this machine is a private address like any other.
    let hub = Hub::start(&HubConfig {
        more: right,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    channel(&api, "mail", json!({"to": "eva@example.org"})).await;
    let outcome = test(&api, "mail").await;
    assert!(
        outcome["error"].as_str().unwrap().contains("[egress] allow"),
        "{outcome}"
    );
}

#[test]
fn a_relay_that_cannot_work_is_named_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    let check = |mail: &str| {
        std::fs::write(&file, format!("[mail]\nhost = \"smtp.example.com\"\n{mail}")).unwrap();
        let mut command = Command::new(binary("streamflow-hub"));
        let output = command
            .args(["config", "check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let from = "from = \"alerts@example.com\"\n";
    let (fine, said) = check(from);
    assert!(fine, "{said}");
    for (mail, key) in [
        (String::new(), "mail.from"),
        (format!("{from}username = \"u\"\n"), "mail.username"),
        (
            format!("{from}username = \"u\"\npassword = \"env:P\"\nsecurity = \"none\"\n"),
            "mail.security",
        ),
        (
            format!("{from}username = \"u\"\npassword = \"hunter2\"\n"),
            "mail.password",
        ),
        (format!("{from}security = \"ssl\"\n"), "security"),
        (format!("{from}sender = \"x\"\n"), "sender"),
    ] {
        let (fine, said) = check(&mail);
        assert!(!fine && said.contains(key), "{mail}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
