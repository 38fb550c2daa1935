//! A bad network between an agent and its hub: UDP datagrams are lost, doubled and reordered, by a seed.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How bad, in datagrams of a thousand.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Lost.
    pub lost: u64,
    /// Delivered twice.
    pub doubled: u64,
    /// Held back until the next one has gone.
    pub swapped: u64,
}

/// A relay for one hub.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

/// Datagrams in one direction.
struct Lane {
    dice: u64,
    weather: Weather,
    held: Option<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

/// How often a thread looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);

impl Lane {
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1000
    }

    /// Passes a datagram on, or not. That the other end is not there at times is part of the weather.
    fn pass(&mut self, datagram: &[u8], send: impl Fn(&[u8])) {
        let roll = self.roll();
        let Weather { lost, doubled, swapped } = self.weather;
        if roll < lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else if roll < lost + swapped && self.held.is_none() {
            self.held = Some(datagram.to_vec());
        } else {
            send(datagram);
            if roll >= 1000 - doubled {
                send(datagram);
            }
            if let Some(held) = self.held.take() {
                send(&held);
            }
        }
    }
}

impl Relay {
    /// Listens on a free port and passes everything on to `hub`.
    ///
    /// # Panics
    /// When no socket can be opened.
    #[must_use]
    pub fn start(hub: &str, seed: u64, weather: Weather) -> Self {
        let hub: SocketAddr = hub.parse().expect("address of the hub");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("relay socket");
        socket.set_read_timeout(Some(LOOK)).expect("timeout");
        let relay = Self {
            address: socket.local_addr().expect("address"),
            stop: Arc::default(),
            lost: Arc::default(),
        };
        let (stop, lost) = (Arc::clone(&relay.stop), Arc::clone(&relay.lost));
        thread::spawn(move || up(&socket, hub, seed, weather, &stop, &lost));
        relay
    }

    /// Where agents connect.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Datagrams lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn up(socket: &UdpSocket, hub: SocketAddr, seed: u64, weather: Weather, stop: &Arc<AtomicBool>, lost: &Arc<AtomicU64>) {
    let lane = |dice: u64| Lane {
        dice,
        weather,
        held: None,
        lost: Arc::clone(lost),
    };
    let mut clients: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut to_hub = lane(seed);
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, client)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let upstream = clients.entry(client).or_insert_with(|| {
            let upstream = UdpSocket::bind("127.0.0.1:0").expect("relay socket");
            upstream.connect(hub).expect("address of the hub");
            upstream.set_read_timeout(Some(LOOK)).expect("timeout");
            let (from, to) = (
                upstream.try_clone().expect("socket"),
                socket.try_clone().expect("socket"),
            );
            let (stop, back) = (Arc::clone(stop), lane(seed ^ u64::from(client.port())));
            thread::spawn(move || down(&from, &to, client, back, &stop));
            upstream
        });
        to_hub.pass(&buffer[..len], |datagram| drop(upstream.send(datagram)));
    }
}

fn down(from: &UdpSocket, to: &UdpSocket, client: SocketAddr, mut lane: Lane, stop: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        if let Ok(len) = from.recv(&mut buffer) {
            lane.pass(&buffer[..len], |datagram| drop(to.send_to(datagram, client)));
        }
    }
}
