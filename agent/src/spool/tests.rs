//! The log under power loss, full disks, failing syncs and damage.

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use streamflow_proto::build::{BatchBuilder, Head, Scalar};
use streamflow_proto::event::Severity;
use streamflow_proto::frame::Frame;

use super::inbox::Block;
use super::log::{Append, Limits, Log, NoSpace};
use super::position::{FileId, Fingerprint, Position};
use super::recover::{self, Report};
use super::sim::SimDisk;
use super::*;

const LIMITS: Limits = Limits {
    segment_bytes: 4_096,
    max_bytes: 1 << 20,
    when_full: WhenFull::Block,
};

/// A frame of `events` events whose content depends on `number` alone.
fn frame(number: u64, events: u64) -> Frame {
    let mut builder = BatchBuilder::new();
    for event in 0..events {
        let head = Head {
            kind: "test",
            source: "spool",
            timestamp_ms: (number * 1_000 + event) as i64,
            severity: Severity::Low,
            id: Some(uuid::Uuid::from_u128(u128::from(number * 1_000 + event))),
            metadata: None,
        };
        builder
            .push_fields(&head, &[("number", Scalar::Int(number as i64))])
            .unwrap();
    }
    builder.finish(0)
}

/// Blocks as a file source makes them: one position for each frame, whose offset is the number of the frame.
fn block(number: u64) -> Block {
    let position = Position {
        file: FileId { dev: 1, ino: 2 },
        fingerprint: Fingerprint { len: 3, hash: 4 },
        offset: number,
        mid_line: false,
        path: "/var/log/test".into(),
        gone: false,
    };
    Block {
        frame: Some(frame(number, number % 3 + 1)),
        positions: vec![position],
    }
}

fn open_with(disk: &SimDisk, limits: Limits) -> Result<(Log, Report), SpoolError> {
    recover::open(Arc::new(disk.clone()), limits, 77, 0)
}

fn open(disk: &SimDisk) -> (Log, Report) {
    open_with(disk, LIMITS).unwrap()
}

/// Appends the blocks of these numbers, some of them in groups of several.
fn append(log: &mut Log, numbers: Range<u64>) -> Result<(), SpoolError> {
    let mut number = numbers.start;
    while number < numbers.end {
        let several = (1 + number % 3).min(numbers.end - number);
        let blocks: Vec<Block> = (number..number + several).map(block).collect();
        assert_eq!(log.append(&blocks, 0)?, Append::Done);
        number += several;
    }
    Ok(())
}

/// Numbers of the frames that a reader finds, which must be whole, and the offset that the sources go on from.
fn contents(disk: &SimDisk, log: &Log) -> (Vec<u64>, u64) {
    let mut reader = Reader::new(Arc::new(disk.clone()), log.shared().clone());
    let mut found = Vec::new();
    loop {
        let from = found.last().map_or(0, |(seq, _)| seq + 1);
        let frames = reader.read(from, 2_000).unwrap();
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            let number = frame.header().min_ts as u64 / 1_000;
            let expected = self::frame(number, number % 3 + 1).with_seq(frame.header().seq);
            assert_eq!(frame.bytes(), expected.bytes());
            found.push((frame.header().seq, number));
        }
    }
    assert!(found.is_sorted_by(|a, b| a.0 < b.0));
    let offset = log.positions().values().next().map_or(0, |position| position.offset);
    (found.into_iter().map(|(_, number)| number).collect(), offset)
}

fn upto(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[test]
fn what_was_appended_is_read_and_survives_a_restart() {
    let disk = SimDisk::default();
    let (mut log, report) = open(&disk);
    assert_eq!(report, Report::default());
    append(&mut log, 1..100).unwrap();
    assert_eq!(contents(&disk, &log), (upto(99), 99));
    assert!(
        disk.names().iter().filter(|name| name.ends_with(".seg")).count() > 3,
        "segments rotate"
    );
    let (log, report) = open(&disk.after_kill());
    assert_eq!(contents(&disk, &log), (upto(99), 99));
    assert_eq!((report.frames, report.damaged), (99, 0));
    assert_eq!(report.events, (1..100).map(|n| n % 3 + 1).sum::<u64>());
}

#[test]
fn acknowledged_segments_are_used_again_and_their_old_contents_never_come_back() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk);
    for round in 0..20 {
        append(&mut log, 1 + round * 50..1 + (round + 1) * 50).unwrap();
        let acked = (round + 1) * 50;
        log.shared().state().acked = acked;
        log.recycle().unwrap();
        assert!(disk.names().iter().filter(|name| name.ends_with(".seg")).count() <= 1);
        let (log, report) = open(&disk.after_kill());
        assert_eq!((report.frames, report.damaged), (0, 0));
        let (found, offset) = contents(&disk, &log);
        assert!(
            found.iter().all(|number| (round * 50 + 1..=acked).contains(number)),
            "{found:?}"
        );
        assert_eq!(offset, acked);
    }
    assert!(disk.names().contains(&"spare".to_owned()));
}

#[test]
fn a_log_cut_at_any_byte_gives_its_longest_valid_prefix_and_takes_more() {
    let disk = SimDisk::default();
    let (mut log, _) = open_with(
        &disk,
        Limits {
            segment_bytes: 16 << 10,
            ..LIMITS
        },
    )
    .unwrap();
    let mut ends = vec![(0, 0)];
    for number in 1..=12 {
        append(&mut log, number..number + 1).unwrap();
        ends.push((log.shared().state().segments[0].end as usize, number));
    }
    let name = disk.names().into_iter().find(|name| name.ends_with(".seg")).unwrap();
    let whole = disk.bytes(&name);
    let end = ends.last().unwrap().0;
    assert_eq!(log.shared().state().segments.len(), 1);
    for cut in 0..=end {
        for fill in [None, Some(0), Some(0xff)] {
            let torn = disk.fork();
            let mut bytes = whole[..cut].to_vec();
            if let Some(fill) = fill {
                bytes.resize(whole.len(), fill);
            }
            torn.set_bytes(&name, bytes);
            let (mut log, report) = open(&torn);
            let expected = ends.iter().rev().find(|(end, _)| *end <= cut).unwrap().1;
            assert_eq!(contents(&torn, &log), (upto(expected), expected), "cut at {cut}");
            assert_eq!(report.damaged, 0);
            if cut % 7 == 0 {
                append(&mut log, expected + 1..expected + 3).unwrap();
                let (log, _) = open(&torn);
                assert_eq!(contents(&torn, &log), (upto(expected + 2), expected + 2));
            }
        }
    }
}

#[test]
fn damage_inside_the_log_costs_only_what_is_damaged_and_is_set_aside() {
    let disk = SimDisk::default();
    let (mut log, _) = open_with(
        &disk,
        Limits {
            segment_bytes: 16 << 10,
            ..LIMITS
        },
    )
    .unwrap();
    append(&mut log, 1..13).unwrap();
    let end = log.shared().state().segments[0].end as usize;
    let name = disk.names().into_iter().find(|name| name.ends_with(".seg")).unwrap();
    let whole = disk.bytes(&name);
    let last_group = {
        // The last commit is the one that cannot be told from one that was cut short.
        let (mut walk, mut window, mut last) = (
            walk::Walk {
                offset: 0,
                number: 1,
                limit: end as u64,
            },
            window::Window::default(),
            0,
        );
        let file = Disk::open(&disk, &name).unwrap();
        while let Some(found) = walk.next_group(&*file, &mut window).unwrap() {
            last = found.offset as usize;
        }
        last
    };
    for at in 0..last_group {
        let broken = disk.fork();
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        broken.set_bytes(&name, bytes);
        let (mut log, report) = open(&broken);
        let (found, offset) = contents(&broken, &log);
        assert_eq!(offset, 12, "byte {at}");
        assert_eq!(report.damaged, 1, "byte {at}");
        assert!(found.len() >= 9 && found.contains(&12), "byte {at}: {found:?}");
        assert!(broken.names().contains(&format!("{name}.damaged")));
        append(&mut log, 13..15).unwrap();
        let (log, _) = open(&broken);
        assert!(contents(&broken, &log).0.ends_with(&[12, 13, 14]), "byte {at}");
    }
}

#[test]
fn a_damaged_middle_segment_does_not_hide_the_later_ones() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk);
    append(&mut log, 1..100).unwrap();
    let segments: Vec<String> = log
        .shared()
        .state()
        .segments
        .iter()
        .map(|segment| segment.name())
        .collect();
    let broken = disk.fork();
    broken.set_bytes(&segments[1], vec![0; LIMITS.segment_bytes as usize]);
    let (log, report) = open(&broken);
    let (found, offset) = contents(&broken, &log);
    assert!(report.damaged >= 1);
    assert_eq!(offset, 99);
    assert!(found.len() > 60 && found.len() < 99 && found.last() == Some(&99));
    // The reader meets damage too when it appears while the agent runs. Recovery has set the segment aside already.
    let disk = broken;
    disk.set_bytes(&segments[1], vec![0xaa; LIMITS.segment_bytes as usize]);
    let (log, _) = self::open(&disk);
    let mut reader = Reader::new(Arc::new(disk.clone()), log.shared().clone());
    let frames = reader.read(0, 1 << 20).unwrap();
    assert_eq!(frames.last().unwrap().header().seq, 99);
    let readable: u64 = frames.iter().map(|frame| u64::from(frame.header().count)).sum();
    let lost = (1..100).map(|n| n % 3 + 1).sum::<u64>() - readable;
    assert_eq!(
        reader.take_losses(),
        Losses {
            segments: 0,
            events: lost
        }
    );
    assert_eq!(reader.take_losses(), Losses::default());
}

#[test]
fn a_full_disk_and_a_full_spool_wait_and_show_nothing_half_done() {
    let disk = SimDisk::default();
    let (mut log, _) = open_with(
        &disk,
        Limits {
            max_bytes: 10_000,
            ..LIMITS
        },
    )
    .unwrap();
    let mut last = 0;
    while log.append(&[block(last + 1)], 0).unwrap() == Append::Done {
        last += 1;
    }
    assert_eq!(
        log.append(&[block(last + 1)], 0).unwrap(),
        Append::NoSpace(NoSpace::Cap)
    );
    assert_eq!(contents(&disk, &log), (upto(last), last));
    log.shared().state().acked = last;
    assert_eq!(log.append(&[block(last + 1)], 0).unwrap(), Append::Done);

    let disk = SimDisk::default();
    let (mut log, _) = open(&disk);
    append(&mut log, 1..4).unwrap();
    disk.set_capacity(Some(LIMITS.segment_bytes as usize + 100));
    let mut last = 3;
    while log.append(&[block(last + 1)], 0).unwrap() == Append::Done {
        last += 1;
    }
    assert_eq!(
        log.append(&[block(last + 1)], 0).unwrap(),
        Append::NoSpace(NoSpace::Disk)
    );
    assert_eq!(contents(&disk, &log), (upto(last), last));
    let (again, report) = open(&disk.after_kill());
    assert_eq!((contents(&disk, &again), report.damaged), ((upto(last), last), 0));
    disk.set_capacity(None);
    append(&mut log, last + 1..last + 30).unwrap();
    assert_eq!(contents(&disk, &log), (upto(last + 29), last + 29));
}

#[test]
fn drop_oldest_makes_room_and_counts_what_it_drops() {
    let disk = SimDisk::default();
    let limits = Limits {
        max_bytes: 20_000,
        when_full: WhenFull::DropOldest,
        ..LIMITS
    };
    let (mut log, _) = open_with(&disk, limits).unwrap();
    log.shared().state().acked = 5;
    let mut dropped = 0;
    for number in 1..=300 {
        while log.append(&[block(number)], 0).unwrap() != Append::Done {
            dropped += log.evict().unwrap().unwrap();
        }
    }
    let (found, _) = contents(&disk, &log);
    let events = |numbers: &[u64]| numbers.iter().map(|number| number % 3 + 1).sum::<u64>();
    assert_eq!(dropped, events(&upto(300)) - events(&upto(5)) - events(&found));
    assert_eq!(log.shared().state().backlog().events, events(&found));
}

#[test]
fn after_a_failed_sync_nothing_more_is_durable() {
    for at in 1..60 {
        let disk = SimDisk::default();
        let (mut log, _) = open(&disk);
        disk.fail_sync_at(disk.calls() + at);
        let error = (1..1_000).find_map(|number| append(&mut log, number..number + 1).err());
        assert!(matches!(error, Some(SpoolError::Sync(_))), "{error:?}");
        let before = *log.shared().next_seq.borrow() - 1;
        // Nothing unsynced survives in the worst case: exactly what was announced is there.
        let after = disk.after_power_loss(|| false);
        let (log, _) = open(&after);
        assert_eq!(contents(&after, &log), (upto(before), before));
    }
}

#[test]
fn what_recovery_announces_after_a_kill_outlives_a_power_loss() {
    for calls in 1..20 {
        let disk = SimDisk::default();
        let (mut log, _) = open(&disk);
        append(&mut log, 1..4).unwrap();
        disk.die_at(disk.calls() + calls);
        while append(&mut log, 4..5).is_ok() {}
        // The process dies between write and sync; the kernel still has the bytes, so recovery finds them and may pass them on to the hub.
        let killed = disk.after_kill();
        let (log, _) = open(&killed);
        let announced = contents(&killed, &log);
        let lost_power = killed.after_power_loss(|| false);
        let (log, _) = open(&lost_power);
        assert_eq!(contents(&lost_power, &log), announced, "after {calls} calls");
    }
}

#[test]
fn an_older_frame_where_a_commit_was_cut_short_is_not_taken_for_it() {
    let disk = SimDisk::default();
    let stale = frame(1, 2).with_seq(1);
    let mut bytes = Vec::new();
    let head = group::Group {
        number: 9,
        next_seq: 5,
        frames: 1,
        frames_len: stale.bytes().len() as u32,
        snapshot: true,
        ..group::Group::default()
    };
    head.encode(&block(5).positions, &mut bytes);
    bytes.extend_from_slice(stale.bytes());
    let file = disk.create(&format!("{:020}.seg", 9), LIMITS.segment_bytes).unwrap();
    disk::write_all_at(&*file, &bytes, 0).unwrap();
    let (mut log, report) = open(&disk);
    assert_eq!((report.frames, report.torn_bytes), (0, bytes.len() as u64));
    assert!(log.positions().is_empty());
    append(&mut log, 5..6).unwrap();
    assert_eq!(contents(&disk, &log), (vec![5], 5));
}

#[test]
fn short_writes_are_continued() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk);
    disk.write_at_most(100);
    append(&mut log, 1..50).unwrap();
    let after = disk.after_power_loss(|| false);
    let (log, _) = open(&after);
    assert_eq!(contents(&after, &log), (upto(49), 49));
}

#[test]
fn numbers_that_the_hub_has_seen_are_not_given_again_when_the_log_is_lost() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk);
    append(&mut log, 1..10).unwrap();
    log.shared().state().acked = 9;
    log.recycle().unwrap();
    let epoch = log.shared().state().epoch;
    let name = disk.names().into_iter().find(|name| name.ends_with(".seg")).unwrap();
    Disk::remove(&disk, &name).unwrap();
    let (mut log, _) = recover::open(Arc::new(disk.clone()), LIMITS, 78, 0).unwrap();
    assert_ne!(log.shared().state().epoch, epoch);
    append(&mut log, 1..2).unwrap();
    assert_eq!(*log.shared().next_seq.borrow(), 11);
}

#[test]
fn the_spool_as_a_stage_writes_what_comes_in_until_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let options = SpoolOptions {
        max_bytes: ByteSize(1 << 20),
        segment_bytes: ByteSize(1 << 16),
        ..SpoolOptions::default()
    };
    let (spool, _) = Spool::build(&options, &dir.path().join("spool"), Arc::default()).unwrap();
    let handle = spool.handle();
    let writer = std::thread::spawn(move || spool.run());
    for number in 1..=200 {
        handle.append(block(number)).unwrap();
    }
    handle.close();
    writer.join().unwrap().unwrap();
    assert_eq!(handle.append(block(1)), Err(Closed));
    let frames = handle.reader().read(0, 1 << 24).unwrap();
    assert_eq!(frames.len(), 200);
    handle.ack(200);
    assert_eq!(handle.backlog(), Backlog::default());
    let (spool, report) = Spool::build(&options, &dir.path().join("spool"), Arc::default()).unwrap();
    assert_eq!(report.damaged, 0);
    assert_eq!(spool.positions().values().next().unwrap().offset, 200);
}

#[test]
fn the_stage_waits_for_a_full_disk_and_stops_at_a_failed_sync() {
    let disk = SimDisk::default();
    let options = SpoolOptions {
        max_bytes: ByteSize(1 << 20),
        segment_bytes: ByteSize(4_096),
        ..SpoolOptions::default()
    };
    let start = |disk: &SimDisk| {
        let (spool, _) = Spool::build_on(&options, Arc::new(disk.clone()), Arc::default()).unwrap();
        (spool.handle(), std::thread::spawn(move || spool.run()))
    };
    let (handle, writer) = start(&disk);
    disk.set_capacity(Some(10_000));
    for number in 1..=60 {
        handle.append(block(number)).unwrap();
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while handle.backlog().events < 20 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    disk.set_capacity(None);
    let mut spooled = handle.watch();
    while *spooled.borrow_and_update() < 61 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    disk.fail_sync_at(disk.calls());
    handle.append(block(61)).unwrap();
    assert!(matches!(writer.join().unwrap(), Err(SpoolError::Sync(_))));
    assert_eq!(handle.append(block(62)), Err(Closed));
    let disk = disk.after_power_loss(|| false);
    let (handle, writer) = start(&disk);
    assert_eq!(handle.reader().read(0, 1 << 20).unwrap().len(), 60);
    handle.close();
    writer.join().unwrap().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The power goes at any call, and any subset of the unsynced sectors survives: what was announced as durable is there, nothing is there twice
    /// or half, and the sources go on exactly after what is there.
    #[test]
    fn power_loss_at_any_moment(
        dies_after in 1u64..400,
        seed in any::<u64>(),
        second in proptest::option::of(1u64..60),
        ack_every in 1u64..40,
    ) {
        let mut random = seed | 1;
        let mut keep = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.is_multiple_of(2)
        };
        let disk = SimDisk::default();
        let (mut log, _) = open(&disk);
        disk.die_at(disk.calls() + dies_after);
        let mut number = 0;
        let (mut announced, mut acked) = (0, 0);
        loop {
            number += 1;
            if append(&mut log, number..number + 1).is_err() {
                break;
            }
            announced = *log.shared().next_seq.borrow() - 1;
            if number.is_multiple_of(ack_every) {
                acked = announced;
                log.shared().state().acked = acked;
                if log.recycle().is_err() {
                    break;
                }
            }
        }
        let mut disk = disk.after_power_loss(&mut keep);
        if let Some(second) = second {
            // The power goes again during recovery or soon after it.
            disk.die_at(second);
            if let Ok((mut log, _)) = open_with(&disk, LIMITS) {
                let next = log.positions().values().next().map_or(0, |position| position.offset) + 1;
                for number in next..next + 5 {
                    if append(&mut log, number..number + 1).is_err() {
                        break;
                    }
                    announced = announced.max(*log.shared().next_seq.borrow() - 1);
                }
            }
            disk = disk.after_power_loss(&mut keep);
        }
        let (log, report) = open(&disk);
        let (found, offset) = contents(&disk, &log);
        prop_assert_eq!(report.damaged, 0);
        prop_assert!(offset >= announced, "announced {} but only {} is there", announced, offset);
        // Every frame after the acknowledged ones, each once, up to where the sources go on.
        let waiting: Vec<u64> = found.into_iter().filter(|number| *number > acked).collect();
        prop_assert_eq!(waiting, (acked + 1..=offset).collect::<Vec<_>>());
    }
}
