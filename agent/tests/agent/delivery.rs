//! From a line in a file to the hub's store, exactly once, whatever happens on the way.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use streamflow_agent::config::{Config, load};
use streamflow_agent::identity::Identity;
use streamflow_agent::pipeline::{Agent, RunError};
use streamflow_agent::status::{self, Observer};
use streamflow_proto::metric::FORMAT;
use streamflow_proto::wire::{MetricDefinition, MetricsPush};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake_hub::{Ca, FakeHub, Store, events, messages};

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub ca: Arc<Ca>,
    pub store: Arc<Mutex<Store>>,
}

pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    pub observer: Observer,
}

pub const DEADLINE: Duration = Duration::from_secs(30);

pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Bench {
    pub fn new() -> Self {
        let bench = Self {
            dir: tempfile::tempdir().unwrap(),
            ca: Ca::new(),
            store: Arc::default(),
        };
        bench.ca.make_identity(&bench.data_dir(), i64::MAX);
        bench
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }

    pub fn hub(&self) -> FakeHub {
        FakeHub::start(&self.ca, self.store.clone())
    }

    /// The text of a configuration with this bench's folder, one file source and more.
    pub fn config_text(&self, endpoints: &str, more: &str) -> String {
        format!(
            "data_dir = {:?}\nname = \"host-1\"\n[hub]\nendpoints = [{endpoints}]\nreconnect_min = \"10ms\"\nreconnect_max = \"100ms\"\nheartbeat = \"50ms\"\n\
             connect_timeout = \"2s\"\n[spool]\nmax_bytes = \"8MiB\"\nsegment_bytes = \"2MiB\"\n[batch]\nmax_events = 50\n[[sources]]\nkind = \"file\"\n\
             name = \"app\"\nformat = \"text\"\npaths = [{:?}]\npoll_interval = \"50ms\"\n{more}",
            self.data_dir(),
            self.log(),
        )
    }

    pub fn config(&self, endpoints: &str, more: &str) -> Config {
        load::parse("test", &self.config_text(endpoints, more), []).unwrap()
    }

    async fn agent(&self, hub: &FakeHub) -> Running {
        start(self.config(&format!("\"{}\"", hub.addr), "")).await
    }
}

pub async fn start(config: Config) -> Running {
    let agent = Agent::build(config).await.unwrap();
    let observer = agent.observer();
    let stop = CancellationToken::new();
    Running {
        task: tokio::spawn(agent.run(stop.clone())),
        stop,
        observer,
    }
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub fn write(path: &Path, lines: &[String]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
}

fn lines(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_arrive_once_and_the_agent_says_so() {
    let bench = Bench::new();
    let hub = bench.hub();
    let agent = bench.agent(&hub).await;
    write(&bench.log(), &lines(0..500));
    until("all lines", || messages(&bench.store) == lines(0..500)).await;
    until("the acknowledgement", || {
        agent.observer.status().spool.backlog.events == 0
    })
    .await;
    let asked = status::ask(&bench.data_dir()).await.unwrap().unwrap();
    assert!(asked.hub.connected);
    assert_eq!((asked.events_acked, asked.lag_ms), (500, 0));
    assert_eq!(
        (
            asked.sources[0].name.as_str(),
            asked.sources[0].events,
            asked.sources[0].files
        ),
        ("app", 500, 1)
    );
    until("a heartbeat", || {
        bench
            .store
            .lock()
            .unwrap()
            .heartbeats
            .iter()
            .any(|heartbeat| heartbeat.sources[0].events == 500)
    })
    .await;
    agent.stop().await;
    assert_eq!(status::ask(&bench.data_dir()).await.unwrap(), None);
    assert_eq!(messages(&bench.store), lines(0..500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_agent_delivers_what_it_has_read() {
    let bench = Bench::new();
    let hub = bench.hub();
    for round in 0..5 {
        write(&bench.log(), &lines(round * 300..(round + 1) * 300));
        let agent = bench.agent(&hub).await;
        until("some lines", || !events(&bench.store).is_empty()).await;
        agent.stop().await;
    }
    let agent = bench.agent(&hub).await;
    until("all lines", || messages(&bench.store).len() >= 1_500).await;
    agent.stop().await;
    assert_eq!(messages(&bench.store), lines(0..1_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_hub_lines_wait_in_the_spool() {
    let bench = Bench::new();
    let hub = bench.hub();
    let addr = hub.addr;
    hub.kill().await;
    write(&bench.log(), &lines(0..300));
    let config = bench.config(&format!("\"{addr}\""), "");
    let agent = start(config.clone()).await;
    until("the spool", || agent.observer.status().spool.backlog.events == 300).await;
    let mut config = config;
    config.hub.drain_timeout.0 = Duration::from_millis(100);
    agent.stop().await;
    let agent = start(config).await;
    until("the spool again", || {
        agent.observer.status().spool.backlog.events == 300
    })
    .await;
    let _hub = FakeHub::start_at(addr, &bench.ca, bench.store.clone());
    until("all lines", || messages(&bench.store) == lines(0..300)).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_dies_and_comes_back_gets_each_line_once() {
    let bench = Bench::new();
    let mut hub = bench.hub();
    let addr = hub.addr;
    let agent = bench.agent(&hub).await;
    for round in 0..10 {
        write(&bench.log(), &lines(round * 400..(round + 1) * 400));
        let before = events(&bench.store).len();
        until("progress", || events(&bench.store).len() > before).await;
        hub.kill().await;
        hub = FakeHub::start_at(addr, &bench.ca, bench.store.clone());
    }
    until("all lines", || messages(&bench.store).len() >= 4_000).await;
    agent.stop().await;
    assert_eq!(messages(&bench.store), lines(0..4_000));
    assert!(bench.store.lock().unwrap().sessions > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_cannot_store_now_gets_the_batch_again() {
    let bench = Bench::new();
    bench.store.lock().unwrap().fail_next = 7;
    let hub = bench.hub();
    let agent = bench.agent(&hub).await;
    write(&bench.log(), &lines(0..1_000));
    until("all lines", || messages(&bench.store).len() >= 1_000).await;
    agent.stop().await;
    assert_eq!(messages(&bench.store), lines(0..1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_refused_for_good_is_counted_and_kept_aside() {
    let bench = Bench::new();
    bench.store.lock().unwrap().reject_next = true;
    let hub = bench.hub();
    write(&bench.log(), &lines(0..200));
    let agent = bench.agent(&hub).await;
    let dropped = || {
        agent
            .observer
            .status()
            .dropped
            .iter()
            .map(|drop| drop.events)
            .sum::<u64>() as usize
    };
    until("all accounted for", || {
        events(&bench.store).len() + dropped() == 200 && dropped() > 0
    })
    .await;
    let rejected = bench.data_dir().join("rejected");
    until("the copy", || {
        std::fs::read_dir(&rejected).is_ok_and(|entries| entries.count() == 1)
    })
    .await;
    agent.stop().await;
}

/// A hub that was rolled back to a release without metrics of agents gets all events again.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_hub_has_pushed_is_not_computed_for_one_that_pushes_nothing() {
    let bench = Bench::new();
    bench.store.lock().unwrap().push = Some(MetricsPush {
        version: 1,
        format: FORMAT,
        definitions: vec![MetricDefinition {
            series: "lines".to_owned(),
            name: "lines".to_owned(),
            matches: "true".to_owned(),
            aggregate: "count()".to_owned(),
            group_by: Vec::new(),
            base_ms: 60_000,
            keep_events: false,
        }],
    });
    let hub = bench.hub();
    let addr = hub.addr;
    let agent = bench.agent(&hub).await;
    until("the push", || agent.observer.status().metrics.len() == 1).await;
    write(&bench.log(), &lines(0..100));
    until("the counts", || !events(&bench.store).is_empty()).await;
    assert!(messages(&bench.store).is_empty(), "counts alone are sent");
    hub.kill().await;

    bench.store.lock().unwrap().push = None;
    let _older = FakeHub::start_at(addr, &bench.ca, bench.store.clone());
    until("nothing to compute", || agent.observer.status().metrics.is_empty()).await;
    write(&bench.log(), &lines(100..200));
    until("all lines", || messages(&bench.store) == lines(100..200)).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_endpoint_is_tried_when_one_does_not_answer() {
    let bench = Bench::new();
    let dead = bench.hub();
    let dead_addr = dead.addr;
    dead.kill().await;
    let hub = bench.hub();
    let mut config = bench.config(&format!("\"{dead_addr}\", \"{}\"", hub.addr), "");
    config.hub.connect_timeout.0 = Duration::from_millis(300);
    let agent = start(config).await;
    write(&bench.log(), &lines(0..10));
    until("all lines", || messages(&bench.store) == lines(0..10)).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_of_another_authority_gets_nothing() {
    let bench = Bench::new();
    let impostor = FakeHub::start(&Ca::new(), bench.store.clone());
    write(&bench.log(), &lines(0..10));
    let mut config = bench.config(&format!("\"{}\"", impostor.addr), "");
    config.hub.drain_timeout.0 = Duration::from_millis(100);
    let agent = start(config).await;
    until("the refusal", || {
        agent
            .observer
            .status()
            .hub
            .last_error
            .is_some_and(|error| error.contains("certificate"))
    })
    .await;
    agent.stop().await;
    assert!(bench.store.lock().unwrap().frames.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_is_renewed_in_time() {
    let bench = Bench::new();
    bench.ca.make_identity(&bench.data_dir(), 0);
    let hub = bench.hub();
    let agent = bench.agent(&hub).await;
    until("the new certificate", || {
        Identity::load(&bench.data_dir()).is_ok_and(|identity| identity.renew_after_ms == i64::MAX)
    })
    .await;
    agent.stop().await;
    assert_eq!(bench.store.lock().unwrap().renewals, 1);
    let agent = bench.agent(&hub).await;
    write(&bench.log(), &lines(0..10));
    until("all lines", || messages(&bench.store) == lines(0..10)).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_the_hub_is_ahead_of_goes_on_under_a_new_epoch() {
    let bench = Bench::new();
    let hub = bench.hub();
    write(&bench.log(), &lines(0..10));
    let agent = bench.agent(&hub).await;
    until("the first lines", || messages(&bench.store) == lines(0..10)).await;
    agent.stop().await;
    let copy = bench.dir.path().join("copy");
    copy_dir(&bench.data_dir().join("spool"), &copy);
    write(&bench.log(), &lines(10..20));
    let agent = bench.agent(&hub).await;
    until("more lines", || messages(&bench.store) == lines(0..20)).await;
    agent.stop().await;
    std::fs::remove_dir_all(bench.data_dir().join("spool")).unwrap();
    copy_dir(&copy, &bench.data_dir().join("spool"));
    write(&bench.log(), &lines(20..30));
    let agent = bench.agent(&hub).await;
    until("no line is lost", || {
        lines(0..30).iter().all(|line| messages(&bench.store).contains(line))
    })
    .await;
    agent.stop().await;
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_host_metrics_and_prometheus() {
    let bench = Bench::new();
    let hub = bench.hub();
    let more = "[[sources]]\nkind = \"host\"\ninterval = \"100ms\"\n[[processors]]\nkind = \"filter\"\nmatch = \"type == 'metric' || !data.message.contains('noise')\"\n\
                [metrics]\nlisten = \"127.0.0.1:0\"\n";
    let config = bench.config(&format!("\"{}\"", hub.addr), more);
    write(
        &bench.log(),
        &["keep 1".to_owned(), "noise 2".to_owned(), "keep 3".to_owned()],
    );
    let agent = Agent::build(config).await.unwrap();
    let metrics = agent.metrics_addr().unwrap();
    let observer = agent.observer();
    let stop = CancellationToken::new();
    let task = tokio::spawn(agent.run(stop.clone()));
    let named = |name: &str| {
        events(&bench.store)
            .iter()
            .any(|event| event.kind == "metric" && event.data.as_ref().unwrap().get().contains(name))
    };
    until("metrics", || {
        named("host.cpu.utilization") && named("host.memory.used_percent") && named("host.load.15")
    })
    .await;
    until("kept lines", || messages(&bench.store) == ["keep 1", "keep 3"]).await;
    assert_eq!(observer.status().sources[0].filtered, 1);
    let text = tokio::task::spawn_blocking(move || get(metrics)).await.unwrap();
    for expected in [
        "streamflow_agent_connected 1",
        "streamflow_agent_source_filtered_total{kind=\"file\",source=\"app\"} 1",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    stop.cancel();
    task.await.unwrap().unwrap();
}

fn get(addr: std::net::SocketAddr) -> String {
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    std::io::read_to_string(stream).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agent_per_folder_and_an_identity_first() {
    let bench = Bench::new();
    let hub = bench.hub();
    let agent = bench.agent(&hub).await;
    let second = Agent::build(bench.config(&format!("\"{}\"", hub.addr), "")).await;
    assert!(matches!(second, Err(RunError::Locked(_))));
    agent.stop().await;
    std::fs::remove_file(Identity::path(&bench.data_dir())).unwrap();
    let error = Agent::build(bench.config("\"127.0.0.1:1\"", ""))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("not enrolled") && error.contains("enroll --hub"),
        "{error}"
    );
}
