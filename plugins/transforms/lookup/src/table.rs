//! Finds the entry with the longest key that fits: a look-up for each length that keys have, longest first.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use crate::By;

/// Bits by which an IPv4 address is further down in an IPv6 address.
const MAPPED: u8 = 96;

/// Numbers of entries, by key.
pub(crate) enum Table {
    Exact(HashMap<String, usize>),
    /// By bytes of the prefix.
    Prefix(BTreeMap<usize, HashMap<String, usize>>),
    /// By bits of the network; IPv4 is a part of IPv6 here.
    Network(BTreeMap<u8, HashMap<u128, usize>>),
}

impl Table {
    /// Takes the keys in the order of the entries.
    pub(crate) fn new(by: By, keys: &[String]) -> Result<Self, String> {
        let keys = || keys.iter().enumerate();
        let twice = |key: &str, earlier: Option<usize>| match earlier {
            None => Ok(()),
            Some(_) => Err(format!("table: `{key}` is there twice")),
        };
        match by {
            By::Exact => {
                let mut exact = HashMap::new();
                for (entry, key) in keys() {
                    twice(key, exact.insert(key.clone(), entry))?;
                }
                Ok(Self::Exact(exact))
            }
            By::Prefix => {
                let mut prefixes: BTreeMap<usize, HashMap<String, usize>> = BTreeMap::new();
                for (entry, key) in keys() {
                    twice(key, prefixes.entry(key.len()).or_default().insert(key.clone(), entry))?;
                }
                Ok(Self::Prefix(prefixes))
            }
            By::Network => {
                let mut networks: BTreeMap<u8, HashMap<u128, usize>> = BTreeMap::new();
                for (entry, key) in keys() {
                    let (bits, begin) = network(key).ok_or_else(|| format!("table: `{key}` is not a network"))?;
                    twice(key, networks.entry(bits).or_default().insert(begin, entry))?;
                }
                Ok(Self::Network(networks))
            }
        }
    }

    pub(crate) fn find(&self, value: &str) -> Option<usize> {
        match self {
            Self::Exact(exact) => exact.get(value).copied(),
            Self::Prefix(prefixes) => {
                let mut longest = prefixes.iter().rev();
                longest.find_map(|(len, entries)| entries.get(value.get(..*len)?).copied())
            }
            Self::Network(networks) => {
                let address = address(value)?;
                let mut longest = networks.iter().rev();
                longest.find_map(|(bits, entries)| entries.get(&(address & mask(*bits))).copied())
            }
        }
    }
}

/// The first so many bits.
fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// With or without a port.
fn address(text: &str) -> Option<u128> {
    let alone = text.parse().ok();
    alone
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
        .map(number)
}

/// Bits and first address of `10.1.0.0/16`, `2001:db8::/32`, or an address of its own.
fn network(text: &str) -> Option<(u8, u128)> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => text.parse::<IpAddr>().ok()?.into(),
    };
    Some(match network.trunc() {
        IpNet::V4(network) => (network.prefix_len() + MAPPED, number(network.addr().into())),
        IpNet::V6(network) => (network.prefix_len(), number(network.addr().into())),
    })
}
