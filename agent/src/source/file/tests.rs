//! A source over real files: growth, rotation, truncation, restarts, bad lines.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Condvar;
use std::thread::JoinHandle;

use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::event::Event;

use super::*;
use crate::batch::{BatchOptions, Sink};
use crate::process::Processors;
use crate::spool::inbox::{Block, Closed};
use crate::spool::position;

#[derive(Default)]
struct Collected {
    events: Vec<Event>,
    positions: Positions,
}

/// Takes the place of the spool.
#[derive(Default)]
struct Collector(Mutex<Collected>, Condvar);

impl Sink for Collector {
    fn append(&self, block: Block) -> Result<(), Closed> {
        let mut collected = self.0.lock().unwrap();
        if let Some(frame) = block.frame {
            let batch = frame.decode().unwrap();
            collected
                .events
                .extend(batch.events(&Bitmap::new(batch.len(), true)).unwrap());
        }
        position::merge(&mut collected.positions, block.positions);
        self.1.notify_all();
        Ok(())
    }
}

struct Running {
    collector: Arc<Collector>,
    counters: Arc<SourceCounters>,
    all: Arc<Counters>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

const DEADLINE: Duration = Duration::from_secs(20);

impl Running {
    fn start(options: &FileOptions, known: &Positions) -> Self {
        let collector = Arc::new(Collector::default());
        collector.0.lock().unwrap().positions = known.clone();
        let counters = SourceCounters::new("test", "file");
        let all = Arc::new(Counters::default());
        let batch = BatchOptions {
            max_events: 10,
            ..BatchOptions::default()
        };
        let batcher = Batcher::new(batch, Processors::default(), collector.clone(), counters.clone());
        let both = (counters.clone(), all.clone());
        let source = FileSource::build(options, "host-1", known, Claims::default(), batcher, both).unwrap();
        let waker = source.waker();
        let thread = Some(std::thread::spawn(move || source.run()));
        Self {
            collector,
            counters,
            all,
            waker,
            thread,
        }
    }

    fn wait(&self, what: &str, mut done: impl FnMut(&Collected) -> bool) {
        let start = Instant::now();
        let mut collected = self.collector.0.lock().unwrap();
        while !done(&collected) {
            assert!(start.elapsed() < DEADLINE, "{what}: {:?}", messages(&collected.events));
            collected = self
                .collector
                .1
                .wait_timeout(collected, Duration::from_millis(20))
                .unwrap()
                .0;
        }
    }

    fn expect(&self, expected: &[&str]) {
        self.wait(&format!("{expected:?}"), |collected| {
            messages(&collected.events) == expected
        });
    }

    fn stop(mut self) -> (Vec<String>, Positions) {
        self.waker.stop();
        self.thread.take().unwrap().join().unwrap();
        let collected = self.collector.0.lock().unwrap();
        (messages(&collected.events), collected.positions.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.waker.stop();
    }
}

fn data(event: &Event) -> serde_json::Value {
    serde_json::from_str(event.data.as_ref().unwrap().get()).unwrap()
}

fn messages(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| data(event)["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn options(&self, pattern: &str) -> FileOptions {
        FileOptions {
            paths: vec![self.path(pattern).to_string_lossy().into_owned()],
            format: Format::Text,
            poll_interval: Span::millis(50),
            scan_interval: Span::millis(200),
            rotate_wait: Span::millis(100),
            ..FileOptions::default()
        }
    }
}

#[test]
fn lines_become_events_and_a_partial_line_waits_for_its_end() {
    let folder = Folder::new();
    folder.append("a.log", "one\ntwo\r\n\nthr");
    let running = Running::start(&folder.options("*.log"), &Positions::new());
    running.expect(&["one", "two"]);
    folder.append("a.log", "ee\n");
    running.expect(&["one", "two", "three"]);
    {
        let collected = running.collector.0.lock().unwrap();
        let event = &collected.events[2];
        assert_eq!((event.kind.as_str(), event.source.as_str()), ("log", "host-1"));
        assert_eq!(data(event)["file"], folder.path("a.log").to_string_lossy().as_ref());
    }
    folder.append("b.log", "new file\n");
    running.expect(&["one", "two", "three", "new file"]);
}

#[test]
fn a_restart_goes_on_where_the_last_one_ended() {
    let folder = Folder::new();
    let mut expected = Vec::new();
    let mut positions = Positions::new();
    for round in 0..5 {
        let lines: Vec<String> = (0..25).map(|line| format!("line {round}.{line}")).collect();
        folder.append("a.log", &(lines.join("\n") + "\n"));
        let running = Running::start(&folder.options("*.log"), &positions);
        let wanted: Vec<&str> = lines.iter().map(String::as_str).collect();
        running.expect(&wanted);
        let (found, known) = running.stop();
        expected.extend(found);
        positions = known;
    }
    assert_eq!(expected.len(), 125);
}

#[test]
fn rotation_by_rename_loses_and_repeats_nothing() {
    let folder = Folder::new();
    let running = Running::start(&folder.options("app.log"), &Positions::new());
    let mut expected = Vec::new();
    for round in 0..5 {
        folder.append("app.log", &format!("before {round}\n"));
        running.wait("the first line", |collected| {
            collected.events.len() == expected.len() + 1
        });
        folder.rename("app.log", &format!("app.log.{round}"));
        // A program goes on writing to the file that it has open.
        folder.append(&format!("app.log.{round}"), &format!("late {round}\n"));
        folder.append("app.log", &format!("after {round}\n"));
        expected.extend([
            format!("before {round}"),
            format!("late {round}"),
            format!("after {round}"),
        ]);
        running.wait("a rotation", |collected| collected.events.len() == expected.len());
    }
    let (mut found, _) = running.stop();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_file_that_was_rotated_while_nobody_watched_is_read_to_its_end() {
    let folder = Folder::new();
    folder.append("app.log", "one\n");
    let running = Running::start(&folder.options("app.log"), &Positions::new());
    running.expect(&["one"]);
    let (_, positions) = running.stop();
    folder.append("app.log", "two\n");
    folder.rename("app.log", "app.log.1");
    folder.append("app.log", "three\n");
    let running = Running::start(&folder.options("app.log"), &positions);
    running.wait("both files", |collected| collected.events.len() == 2);
    let (mut found, _) = running.stop();
    found.sort();
    assert_eq!(found, ["three", "two"]);
}

#[test]
fn truncation_in_place_starts_again_at_the_beginning() {
    let folder = Folder::new();
    folder.append("a.log", "one\ntwo\n");
    let running = Running::start(&folder.options("a.log"), &Positions::new());
    running.expect(&["one", "two"]);
    File::create(folder.path("a.log")).unwrap();
    folder.append("a.log", "three\n");
    running.expect(&["one", "two", "three"]);
    // Copied, truncated and filled beyond the old place between two looks: only the beginning tells.
    fs::write(folder.path("a.log"), "four is a longer line than all before it\n").unwrap();
    running.expect(&["one", "two", "three", "four is a longer line than all before it"]);
    let (_, positions) = running.stop();
    fs::write(
        folder.path("a.log"),
        "five was written while nobody was looking, and it is longer too\n",
    )
    .unwrap();
    let running = Running::start(&folder.options("a.log"), &positions);
    running.expect(&["five was written while nobody was looking, and it is longer too"]);
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_forgotten() {
    let folder = Folder::new();
    folder.append("a.log", "one\nno end");
    let running = Running::start(&folder.options("*.log"), &Positions::new());
    running.expect(&["one"]);
    fs::remove_file(folder.path("a.log")).unwrap();
    running.wait("the end of the file", |collected| {
        messages(&collected.events) == ["one", "no end"] && collected.positions.is_empty()
    });
}

#[test]
fn a_file_that_another_source_reads_is_never_forgotten() {
    let folder = Folder::new();
    folder.append("a.log", "one\n");
    folder.append("gone.log", "two\n");
    let known = Running::start(&folder.options("*.log"), &Positions::new());
    known.wait("both files", |collected| collected.positions.len() == 2);
    let (_, known) = known.stop();
    fs::remove_file(folder.path("gone.log")).unwrap();
    let collector = Arc::new(Collector::default());
    collector.0.lock().unwrap().positions = known.clone();
    let claims = Claims::default();
    let source = |pattern: &str| {
        let counters = SourceCounters::new("test", "file");
        let batcher = Batcher::new(
            BatchOptions::default(),
            Processors::default(),
            collector.clone(),
            counters.clone(),
        );
        let both = (counters, Arc::default());
        FileSource::build(
            &folder.options(pattern),
            "host-1",
            &known,
            claims.clone(),
            batcher,
            both,
        )
        .unwrap()
    };
    let (mut reads, mut other) = (source("a.*"), source("b.*"));
    let now = Instant::now();
    reads.scan(now);
    other.scan(now + 2 * FORGET_AFTER);
    other.batcher.flush().unwrap();
    let collected = collector.0.lock().unwrap();
    let paths: Vec<&str> = collected.positions.values().map(|position| &*position.path).collect();
    assert_eq!(paths, [folder.path("a.log").to_string_lossy()]);
}

#[test]
fn the_end_is_where_a_new_source_may_begin_but_not_where_it_goes_on() {
    let folder = Folder::new();
    folder.append("a.log", "old\npart");
    let options = FileOptions {
        read_from: ReadFrom::End,
        ..folder.options("*.log")
    };
    let running = Running::start(&options, &Positions::new());
    running.wait("the position", |collected| !collected.positions.is_empty());
    folder.append("a.log", "ial\nnew\n");
    running.expect(&["partial", "new"]);
    let (_, positions) = running.stop();
    folder.append("b.log", "came while nobody watched\n");
    let running = Running::start(&options, &positions);
    running.expect(&["came while nobody watched"]);
}

#[test]
fn an_unreadable_file_is_reported_and_the_others_go_on() {
    let folder = Folder::new();
    // Root may read everything, but nobody can follow a link that leads to itself.
    std::os::unix::fs::symlink(folder.path("loop.log"), folder.path("loop.log")).unwrap();
    folder.append("a.log", "one\n");
    let options = FileOptions {
        paths: [folder.path("loop.log"), folder.path("a.log")]
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect(),
        ..folder.options("*.log")
    };
    let running = Running::start(&options, &Positions::new());
    running.expect(&["one"]);
    running.wait("the error", |_| {
        running
            .counters
            .last_error()
            .is_some_and(|error| error.contains("loop.log"))
    });
    fs::remove_file(folder.path("loop.log")).unwrap();
    folder.append("loop.log", "two\n");
    running.expect(&["one", "two"]);
}

#[test]
fn a_named_file_that_does_not_exist_yet_is_waited_for_and_is_no_error() {
    let folder = Folder::new();
    folder.append("a.log", "one\n");
    std::os::unix::fs::symlink(folder.path("nothing"), folder.path("dangling.log")).unwrap();
    let named = |names: &[&str]| FileOptions {
        paths: names
            .iter()
            .map(|name| folder.path(name).to_string_lossy().into_owned())
            .collect(),
        ..folder.options("")
    };
    let running = Running::start(&named(&["later.log", "no/folder/yet.log", "a.log"]), &Positions::new());
    running.expect(&["one"]);
    // Several looks at the paths pass while lines come and go.
    for (more, count) in [("two\n", 2), ("three\n", 3)] {
        folder.append("a.log", more);
        running.wait("a line more", |collected| collected.events.len() == count);
    }
    folder.append("later.log", "here\n");
    running.wait("the new file", |collected| collected.events.len() == 4);
    fs::create_dir_all(folder.path("no/folder")).unwrap();
    folder.append("no/folder/yet.log", "deep\n");
    running.wait("the new folder", |collected| collected.events.len() == 5);
    assert_eq!(
        (running.counters.errors.get(), running.counters.last_error()),
        (0, None)
    );
    running.stop();

    let found = Patterns::new(&named(&["later2.log", "dangling.log"]).paths, &[])
        .unwrap()
        .discover();
    assert_eq!(found.missing, [folder.path("later2.log")]);
    let failed: Vec<_> = found.failures.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(failed, [folder.path("dangling.log")]);
}

#[test]
fn a_file_without_permission_is_tried_again() {
    let folder = Folder::new();
    folder.append("a.log", "one\n");
    fs::set_permissions(folder.path("a.log"), fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(folder.path("a.log")).is_ok() {
        return; // root reads everything
    }
    let running = Running::start(&folder.options("*.log"), &Positions::new());
    running.wait("the error", |_| running.counters.errors.get() > 0);
    fs::set_permissions(folder.path("a.log"), fs::Permissions::from_mode(0o600)).unwrap();
    running.expect(&["one"]);
}

#[test]
fn over_long_lines_are_cut_or_dropped_and_counted() {
    let folder = Folder::new();
    let long = "x".repeat(400_000);
    folder.append("a.log", &format!("one\n{long}\ntwo\n"));
    let options = FileOptions {
        max_line_bytes: ByteSize(100),
        ..folder.options("a.log")
    };
    let running = Running::start(&options, &Positions::new());
    running.expect(&["one", &long[..100], "two"]);
    assert_eq!(running.counters.truncated.get(), 1);
    let options = FileOptions {
        long_lines: LongLines::Drop,
        ..options
    };
    let running = Running::start(&options, &Positions::new());
    running.expect(&["one", "two"]);
    assert_eq!(running.all.drops().map(|(_, events)| events).sum::<u64>(), 1);
}

#[test]
fn a_stop_inside_an_over_long_line_does_not_make_its_rest_a_line() {
    let folder = Folder::new();
    folder.append("a.log", &"x".repeat(300_000));
    let options = FileOptions {
        max_line_bytes: ByteSize(100),
        ..folder.options("a.log")
    };
    let running = Running::start(&options, &Positions::new());
    running.expect(&["x".repeat(100).as_str()]);
    let (_, positions) = running.stop();
    folder.append("a.log", "rest\nnext\n");
    let running = Running::start(&options, &positions);
    running.expect(&["next"]);
}

#[test]
fn a_partial_line_is_taken_after_its_timeout() {
    let folder = Folder::new();
    folder.append("a.log", "no end");
    let options = FileOptions {
        partial_line_timeout: Span::millis(50),
        ..folder.options("a.log")
    };
    let running = Running::start(&options, &Positions::new());
    running.expect(&["no end"]);
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_and_counted() {
    let folder = Folder::new();
    fs::write(folder.path("a.log"), b"caf\xe9\n").unwrap();
    let running = Running::start(&folder.options("a.log"), &Positions::new());
    running.expect(&["caf\u{fffd}"]);
    assert_eq!(running.counters.invalid_utf8.get(), 1);
}

#[test]
fn malformed_lines_are_kept_as_text_and_counted() {
    let folder = Folder::new();
    folder.append(
        "a.log",
        "{\"type\":\"t\",\"source\":\"s\",\"data\":{\"message\":\"fine\"}}\n{broken\n",
    );
    let options = FileOptions {
        format: Format::Event,
        ..folder.options("a.log")
    };
    let running = Running::start(&options, &Positions::new());
    running.expect(&["fine", "{broken"]);
    assert_eq!(running.counters.malformed.get(), 1);
    assert_eq!(running.collector.0.lock().unwrap().events[1].kind, "log");
}

#[test]
fn two_sources_do_not_read_the_same_file() {
    let claims = Claims::default();
    let file = FileId { dev: 1, ino: 1 };
    assert!(claims.take(file));
    assert!(!claims.clone().take(file));
    claims.release(file);
    assert!(claims.take(file));
}
