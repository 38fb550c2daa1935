//! The relay played by a script: what its words, its silence and its address mean for a message.

use std::net::SocketAddr;

use streamflow_model::Span;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::egress::{Egress, EgressOptions};

/// Beginnings of what the client says, and what is answered; "" is the greeting, "." the end of the message.
type Script = &'static [(&'static str, &'static str)];

const KIND: Script = &[
    ("", "220 relay ready"),
    ("EHLO", "250 relay"),
    ("DATA", "354 go on"),
    ("QUIT", "221 bye"),
];

async fn talk(stream: TcpStream, script: Script) -> Vec<String> {
    let mut stream = BufReader::new(stream);
    let (mut said, mut body) = (Vec::new(), false);
    let answer = |what: &str| {
        let own = script
            .iter()
            .chain(KIND)
            .find(|(begin, _)| !begin.is_empty() && what.starts_with(begin));
        own.map_or("250 ok", |(_, answer)| answer)
    };
    let greeting = script.iter().chain(KIND).find(|(begin, _)| begin.is_empty()).unwrap().1;
    stream.write_all(format!("{greeting}\r\n").as_bytes()).await.unwrap();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return said;
        }
        let line = line.trim_end().to_owned();
        if body && line != "." {
            said.push(line);
            continue;
        }
        body = line == "DATA" && answer("DATA").starts_with('3');
        let answer = format!("{}\r\n", answer(&line));
        said.push(line);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return said;
        }
    }
}

async fn relay(script: Script) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let talking = tokio::spawn(async move { talk(listener.accept().await.unwrap().0, script).await });
    (address, talking)
}

fn mailer(address: SocketAddr, allow: &[String]) -> Mailer {
    mailer_within(address, allow, Span::from_secs(30))
}

fn mailer_within(address: SocketAddr, allow: &[String], timeout: Span) -> Mailer {
    let egress = EgressOptions {
        allow: allow.to_vec(),
        ..EgressOptions::default()
    };
    let options = MailOptions {
        host: address.ip().to_string(),
        port: Some(address.port()),
        security: Security::None,
        from: "alerts@example.com".to_owned(),
        timeout,
        ..MailOptions::default()
    };
    Mailer::build(&options, &Egress::new(&egress).unwrap()).unwrap()
}

fn draft() -> Draft {
    Draft {
        to: vec!["eva@example.org".to_owned(), "max@example.org".to_owned()],
        subject: "disk\r\nBcc: thief@example.net".to_owned(),
        text: ".\r\nQUIT\r\n".to_owned(),
        ..Draft::default()
    }
}

async fn outcome(script: Script) -> (Result<(String, Vec<String>), Refusal>, Vec<String>) {
    let (address, talking) = relay(script).await;
    let outcome = mailer(address, &[address.to_string()]).send(&draft()).await;
    (outcome, talking.await.unwrap())
}

#[tokio::test]
async fn a_message_is_handed_over_and_says_nothing_else() {
    let (outcome, said) = outcome(KIND).await;
    let (id, refused) = outcome.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(id.starts_with('<') && id.ends_with("@example.com>"), "{id}");
    let commands = [
        "EHLO example.com",
        "MAIL FROM:<alerts@example.com>",
        "RCPT TO:<eva@example.org>",
        "RCPT TO:<max@example.org>",
        "DATA",
    ];
    assert_eq!(said[..5], commands);
    assert!(said.contains(&format!("Message-ID: {id}")), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("Bcc")), "{said:?}");
    let ends = said.iter().filter(|line| *line == ".").count();
    assert_eq!((ends, said.last().map(String::as_str)), (1, Some("QUIT")), "{said:?}");
}

#[tokio::test]
async fn the_relays_word_decides() {
    let transient = async |script: Script| matches!(outcome(script).await.0, Err(Refusal::Transient(_)));
    let permanent = async |script: Script| matches!(outcome(script).await.0, Err(Refusal::Permanent(_)));
    assert!(transient(&[("", "421 too busy")]).await);
    assert!(permanent(&[("", "554 go away")]).await);
    assert!(permanent(&[("MAIL", "550 not from you")]).await);
    assert!(transient(&[("RCPT TO:<max", "451 later"), ("RCPT TO:<eva", "550 nobody")]).await);
    assert!(permanent(&[("RCPT", "550 nobody")]).await);
    assert!(transient(&[(".", "452 full")]).await);
    assert!(permanent(&[(".", "554 spam")]).await);
    assert!(transient(&[("EHLO", "nonsense")]).await);
}

#[tokio::test]
async fn one_recipient_that_is_refused_keeps_nothing_from_the_others() {
    for script in [
        &[("RCPT TO:<max", "550 nobody")],
        &[("RCPT TO:<max", "452 4.2.2 mailbox full")],
    ] {
        let (some, said) = outcome(script).await;
        let (_, refused) = some.unwrap();
        let (_, word) = script[0].1.split_once(' ').unwrap();
        assert!(
            refused.len() == 1 && refused[0].starts_with("max@example.org: ") && refused[0].contains(word),
            "{refused:?}"
        );
        assert!(said.contains(&"DATA".to_owned()) && said.contains(&".".to_owned()));
    }
}

#[tokio::test]
async fn silence_ends_at_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mailer = mailer_within(address, &[address.to_string()], Span::from_ms(100));
    let outcome = mailer.send(&draft()).await;
    assert!(
        matches!(&outcome, Err(Refusal::Transient(reason)) if reason.contains("within 0.1 s")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_relays_address_is_checked_like_any_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let outcome = mailer(address, &[]).send(&draft()).await;
    assert!(
        matches!(&outcome, Err(Refusal::Denied(reason)) if reason.contains("[egress] allow")),
        "{outcome:?}"
    );
    let egress = Egress::new(&EgressOptions::default()).unwrap();
    let none = Mailer::build(&MailOptions::default(), &egress).unwrap();
    assert!(!none.is_configured());
    assert!(matches!(none.send(&draft()).await, Err(Refusal::Denied(_))));
}
