//! Two hubs on one data folder: one leads, the other waits and takes over. What a leader that is killed leaves behind is neither lost nor told twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use streamflow_tests::{
    Agent, AgentConfig, Api, Receiver, binaries, eventually, eventually_some, hub, hub::PASSWORD, process::Process,
};
use tempfile::TempDir;

/// Leaders killed, each in its turn.
const KILLS: usize = 6;

/// One of the two: its own addresses and log, the data folder of both.
struct Node {
    dir: PathBuf,
    http: String,
    quic: String,
    process: Process,
}

fn free(udp: bool) -> String {
    let address = if udp {
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr()
    } else {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr()
    };
    address.unwrap().to_string()
}

fn spawn(dir: &Path, standby: bool) -> Process {
    let mut command = Command::new(binaries::binary("streamflow-hub"));
    command
        .args(["serve", "--ready-json", "--config"])
        .arg(dir.join("hub.toml"));
    if standby {
        command.arg("--standby");
    }
    Process::start(command.env("STREAMFLOW_ADMIN_PASSWORD", PASSWORD), &dir.join("hub.log"))
}

impl Node {
    fn new(dir: PathBuf, data: &Path, egress: &str, standby: bool) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        let (http, quic) = (free(false), free(true));
        // Agents notice within seconds that a hub is gone.
        let text = format!(
            "data_dir = {data:?}\n[http]\nlisten = {http:?}\n[quic]\nlisten = {quic:?}\nidle_timeout = \"5s\"\n[egress]\nallow = [{egress:?}]\n\
             [plugins]\nshipped_dir = {plugins:?}\n[ha]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"info,streamflow=debug\"\n",
            plugins = binaries::root().join("plugins/dist"),
        );
        std::fs::write(dir.join("hub.toml"), text).unwrap();
        let process = spawn(&dir, standby);
        Self {
            dir,
            http,
            quic,
            process,
        }
    }

    /// Starts it again, as the one that waits.
    fn stand_by(&mut self) -> String {
        self.process = spawn(&self.dir, true);
        self.waits()
    }

    /// Where it says that it waits.
    fn waits(&mut self) -> String {
        let said = self.process.wait_for_event("standby").pop().unwrap();
        said["health"].as_str().unwrap().to_owned()
    }

    fn leads(&mut self) {
        self.process.wait_for_event("ready");
    }

    async fn api(&self) -> Api {
        Api::sign_in(&format!("http://{}", self.http), "admin", PASSWORD).await
    }
}

async fn role(health: &str, path: &str) -> (u16, Value) {
    let answer = streamflow_tests::api::client()
        .get(format!("http://{health}/{path}"))
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// How often each key was received.
fn keys(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    for one in receiver.received() {
        let key = one.headers["idempotency-key"].to_str().unwrap().to_owned();
        *keys.entry(key).or_insert(0) += 1;
    }
    keys
}

async fn made(api: &Api, path: &str, body: Value) {
    let (status, answer) = api.post(path, &body).await;
    assert_eq!(status, 201, "{path}: {answer}");
}

#[tokio::test]
async fn a_second_hub_gives_up_and_a_standby_says_that_it_waits_and_takes_over() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let mut first = Node::new(dir.path().join("first"), &data, "127.0.0.1:9", false);
    first.leads();
    let mut second = Node::new(dir.path().join("second"), &data, "127.0.0.1:9", false);
    let status = second.process.wait_end();
    assert_eq!(status.code(), Some(1));
    let log = second.process.log();
    assert!(
        log.contains("another hub serves this data_dir") && log.contains("--standby"),
        "{log}"
    );

    let health = second.stand_by();
    assert_eq!(
        role(&health, "health").await,
        (200, json!({"status": "ok", "role": "standby"}))
    );
    assert_eq!(role(&health, "ready").await.0, 503);
    assert!(
        std::net::TcpStream::connect(&second.http).is_err(),
        "a standby has nothing open but that"
    );
    assert!(first.process.terminate().success());
    second.leads();
    assert_eq!(
        role(&health, "ready").await,
        (200, json!({"status": "ok", "role": "leader"}))
    );
    second.api().await;

    first.stand_by();
    let stopped = first.process.terminate();
    assert!(stopped.success(), "a standby stops when it is told to: {stopped}");
}

#[tokio::test]
async fn leaders_killed_in_turn_lose_nothing_and_tell_nothing_twice() {
    let receiver = Receiver::start().await;
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let mut leader = Node::new(dir.path().join("one"), &data, &receiver.address, false);
    leader.leads();
    let mut other = Node::new(dir.path().join("two"), &data, &receiver.address, true);
    other.waits();
    let mut api = leader.api().await;
    made(
        &api,
        "/api/v1/channels",
        json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}}),
    )
    .await;
    for (name, kind) in [("from http", "bad"), ("from the agent", "line")] {
        let rule = json!({"name": name, "match": format!("type == '{kind}'"), "window": "24h", "group_by": ["source"],
            "condition": "value >= threshold", "threshold": 1, "channels": ["ops"]});
        made(&api, "/api/v1/rules", rule).await;
    }
    let token = Command::new(binaries::binary("streamflow-hub"))
        .args(["agent", "token", "--ttl", "10m", "--config"])
        .arg(leader.dir.join("hub.toml"))
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let both = format!("{}\", \"{}", leader.quic, other.quic);
    let mut agent = Agent::prepare(&AgentConfig::tail("event"), &both);
    let enrolled = agent.enroll(&leader.quic, &token);
    assert!(enrolled.status.success(), "{enrolled:?}");
    agent.restart();

    for round in 0..KILLS {
        let before = receiver.count();
        // Every other time the leader is killed while it waits for the answer: it has sent, and cannot have noted it.
        if round % 2 == 0 {
            receiver.hold();
        }
        agent.write_log("a.log", &format!("{{\"type\":\"line\",\"source\":\"line{round}\"}}\n"));
        let (status, answer) = api
            .post("/events", &json!({"type": "bad", "source": format!("s{round}")}))
            .await;
        assert_eq!(status, 202, "{answer}");
        eventually("a notification is on its way", async || receiver.count() > before).await;
        leader.process.kill();
        // Written while nobody leads, or somebody just begins to.
        agent.write_log(
            "a.log",
            &format!("{{\"type\":\"line\",\"source\":\"between{round}\"}}\n"),
        );
        receiver.let_go();
        std::mem::swap(&mut leader, &mut other);
        leader.leads();
        other.stand_by();
        api = leader.api().await;
        // One of HTTP and two of the agent in each round.
        eventually("everything is delivered", async || {
            let (_, waiting) = api.get("/api/v1/deliveries?state=pending").await;
            let (_, done) = api.get("/api/v1/deliveries?state=delivered&limit=1000").await;
            hub::data(&waiting).is_empty() && hub::data(&done).len() == 3 * (round + 1)
        })
        .await;
    }
    let (_, done) = api.get("/api/v1/deliveries?limit=1000").await;
    let wanted: BTreeSet<String> = hub::data(&done)
        .iter()
        .map(|delivery| delivery["idempotency_key"].as_str().unwrap().to_owned())
        .collect();
    let keys = keys(&receiver);
    assert_eq!(
        keys.keys().cloned().collect::<BTreeSet<_>>(),
        wanted,
        "what was written was sent, and nothing else"
    );
    assert_eq!(wanted.len(), 3 * KILLS);
    assert!(keys.values().all(|count| *count <= 2), "{keys:?}");
    let repeated: usize = keys.values().map(|count| count - 1).sum();
    assert!(repeated >= KILLS / 2, "a kill before the note repeats one: {repeated}");
    let all = json!({"types": ["line"], "limit": 1000});
    let lines = eventually_some("the agent's events are in the log", async || {
        let (_, found) = api.post("/api/v1/events/query", &all).await;
        let found = hub::data(&found);
        (found.len() >= 2 * KILLS).then_some(found)
    })
    .await;
    let sources: BTreeSet<&str> = lines.iter().filter_map(|line| line["source"].as_str()).collect();
    assert_eq!((lines.len(), sources.len()), (2 * KILLS, 2 * KILLS), "each once");
}
