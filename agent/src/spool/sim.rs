//! A disk in memory that can be full, fail a sync, write short, and lose power.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What reads see.
    cached: Vec<u8>,
    /// What survives.
    durable: Vec<u8>,
    /// Writes since the last sync: offset and bytes.
    dirty: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changing calls so far.
    calls: u64,
    /// The call from which on everything fails, as when the power goes.
    dies_at: Option<u64>,
    fail_sync_at: Option<u64>,
    capacity: Option<usize>,
    write_at_most: Option<usize>,
}

impl World {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.dies_at.is_some_and(|at| self.calls >= at) {
            return Err(io::Error::other("the power is gone"));
        }
        Ok(())
    }

    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].cached.len()).sum()
    }
}

/// The disk; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    pub fn die_at(&self, call: u64) {
        self.world().dies_at = Some(call);
    }

    pub fn fail_sync_at(&self, call: u64) {
        self.world().fail_sync_at = Some(call);
    }

    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.world().capacity = bytes;
    }

    pub fn write_at_most(&self, bytes: usize) {
        self.world().write_at_most = Some(bytes);
    }

    pub fn names(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[name]].cached.clone()
    }

    pub fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut world = self.world();
        let inode = world.names[name];
        world.inodes[inode] = Inode {
            cached: bytes.clone(),
            durable: bytes,
            dirty: Vec::new(),
        };
    }

    /// A copy that nothing has happened to yet.
    pub fn fork(&self) -> Self {
        let world = self.world();
        Self(Arc::new(Mutex::new(World {
            inodes: world.inodes.clone(),
            names: world.names.clone(),
            durable_names: world.durable_names.clone(),
            ..World::default()
        })))
    }

    /// The process dies, the kernel goes on: everything written is there.
    pub fn after_kill(&self) -> Self {
        self.fork()
    }

    /// The power goes: of each unsynced sector `keep` decides whether it reached the disk, and likewise for names.
    pub fn after_power_loss(&self, mut keep: impl FnMut() -> bool) -> Self {
        let world = self.world();
        let mut inodes = world.inodes.clone();
        for inode in &mut inodes {
            let mut survived = inode.durable.clone();
            for (offset, bytes) in std::mem::take(&mut inode.dirty) {
                let mut at = 0;
                while at < bytes.len() {
                    let len = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
                    if keep() {
                        let end = offset + at + len;
                        if survived.len() < end {
                            survived.resize(end, 0);
                        }
                        survived[offset + at..end].copy_from_slice(&bytes[at..at + len]);
                    }
                    at += len;
                }
            }
            (inode.cached, inode.durable) = (survived.clone(), survived);
        }
        // Journals keep the order of changes to a folder: either none of the unsynced ones survived, or all.
        let names = if keep() {
            world.names.clone()
        } else {
            world.durable_names.clone()
        };
        Self(Arc::new(Mutex::new(World {
            inodes,
            names: names.clone(),
            durable_names: names,
            ..World::default()
        })))
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.call()?;
        if world.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if world
            .capacity
            .is_some_and(|capacity| world.used() + size as usize > capacity)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; size as usize];
        let inode = world.inodes.len();
        world.inodes.push(Inode {
            cached: zeros.clone(),
            durable: zeros,
            dirty: Vec::new(),
        });
        world.names.insert(name.to_owned(), inode);
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let world = self.world();
        let inode = *world.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        world.call()?;
        let inode = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.call()?;
        world
            .names
            .remove(name)
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut world = self.world();
        world.call()?;
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        format!("sim/{name}")
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        let died = world.call();
        let offset = offset as usize;
        let most = world.write_at_most.unwrap_or(usize::MAX).min(bytes.len());
        // The last write before the end may be cut anywhere.
        let len = if died.is_err() { bytes.len() / 2 } else { most };
        let len = match world.capacity {
            Some(capacity) => {
                let grows = (offset + len).saturating_sub(world.inodes[self.inode].cached.len());
                len - grows.min((world.used() + grows).saturating_sub(capacity)).min(len)
            }
            None => len,
        };
        let inode = &mut world.inodes[self.inode];
        if inode.cached.len() < offset + len {
            inode.cached.resize(offset + len, 0);
        }
        inode.cached[offset..offset + len].copy_from_slice(&bytes[..len]);
        inode.dirty.push((offset, bytes[..len].to_vec()));
        died?;
        if len == 0 {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(len)
        }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.world();
        let cached = &world.inodes[self.inode].cached;
        let from = (offset as usize).min(cached.len());
        let len = bytes.len().min(cached.len() - from);
        bytes[..len].copy_from_slice(&cached[from..from + len]);
        Ok(len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.call()?;
        if world.fail_sync_at.is_some_and(|at| world.calls >= at) {
            return Err(io::Error::other("I/O error"));
        }
        let inode = &mut world.inodes[self.inode];
        inode.durable = inode.cached.clone();
        inode.dirty.clear();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.world().inodes[self.inode].cached.len() as u64)
    }
}
