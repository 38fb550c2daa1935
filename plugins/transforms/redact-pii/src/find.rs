//! Finds e-mail addresses, card numbers and IP addresses in a text. Where it is not sure, it finds: what is taken out too much is missed less.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::{Range, RangeInclusive},
};

/// Digits of a card number.
const CARD: RangeInclusive<usize> = 13..=19;
/// First digits of cards; what begins otherwise is a time, or a number of some system.
const FIRST: RangeInclusive<u8> = 2..=6;
/// Fewest digits of a group of a card number.
const GROUP: usize = 3;

/// What stands around each `@`, if it can be an address.
pub(crate) fn emails(text: &str) -> Vec<Range<usize>> {
    let local = |c: &char| c.is_alphanumeric() || "._%+-'".contains(*c);
    let domain = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let address = |(at, _): (usize, &str)| {
        let (before, after) = (text.get(..at)?, text.get(at + 1..)?);
        let name: usize = before.chars().rev().take_while(local).map(char::len_utf8).sum();
        let host: usize = after.chars().take_while(domain).map(char::len_utf8).sum();
        let host = domain_of(after.get(..host)?).filter(|_| name > 0)?;
        Some(at - name..at + 1 + host)
    };
    text.match_indices('@').filter_map(address).collect()
}

/// Bytes of the longest beginning that is the name of a domain: what a text goes on with is often made of the same characters.
fn domain_of(host: &str) -> Option<usize> {
    let top = |dot: usize| {
        let label = host.get(dot + 1..)?.split('.').next()?;
        let coded = label.get(..4).is_some_and(|mark| mark.eq_ignore_ascii_case("xn--"));
        let letters: usize = if coded {
            label.trim_end_matches('-').len()
        } else {
            let letters = label.chars().take_while(|c| c.is_alphabetic());
            letters.map(char::len_utf8).sum()
        };
        (dot > 0 && letters >= 2).then_some(dot + 1 + letters)
    };
    host.rmatch_indices('.').find_map(|(dot, _)| top(dot))
}

/// Places and values of digits that may belong together.
type Digits = [(usize, u8)];

/// Numbers of 13 to 19 digits, in one or in groups with a blank or a hyphen between them, that begin as cards do and have the right check digit.
pub(crate) fn cards(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut found, mut chain, mut in_group) = (Vec::new(), Vec::<(usize, u8)>::new(), 0);
    for (place, byte) in bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
        match chain.last().map(|(last, _)| &bytes[last + 1..place]) {
            Some([]) => in_group += 1,
            Some([b' ' | b'-']) if in_group >= GROUP => in_group = 1,
            _ => {
                cards_of(&chain, bytes, &mut found);
                chain.clear();
                in_group = 1;
            }
        }
        chain.push((place, byte - b'0'));
    }
    cards_of(&chain, bytes, &mut found);
    found
}

fn cards_of(chain: &Digits, bytes: &[u8], found: &mut Vec<Range<usize>>) {
    // What follows a point is a part of a fraction.
    let is_fraction = |place: usize| place >= 2 && bytes[place - 1] == b'.' && bytes[place - 2].is_ascii_digit();
    if chain.len() < *CARD.start() || is_fraction(chain[0].0) {
        return;
    }
    let mut rest = chain;
    while let Some((begin, _)) = rest.first() {
        rest = match card(rest) {
            Some((len, end)) => {
                found.push(*begin..end + 1);
                &rest[len..]
            }
            None => &rest[group(rest)..],
        };
    }
}

/// How many digits from the first one on are in one group.
fn group(digits: &Digits) -> usize {
    let parted = digits.windows(2).position(|two| two[1].0 > two[0].0 + 1);
    parted.map_or(digits.len(), |last| last + 1)
}

/// The longest card number that begins here and ends with a group: its digits, and the place of the last one.
fn card(digits: &Digits) -> Option<(usize, usize)> {
    if !digits.first().is_some_and(|(_, first)| FIRST.contains(first)) {
        return None;
    }
    let ends_group = |len: usize| digits.get(len).is_none_or(|next| next.0 > digits[len - 1].0 + 1);
    let is_card = |len: &usize| {
        digits
            .get(..*len)
            .is_some_and(|number| ends_group(*len) && luhn(number))
    };
    let len = CARD.rev().find(is_card)?;
    Some((len, digits[len - 1].0))
}

/// The check of ISO/IEC 7812.
fn luhn(digits: &Digits) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(at, (_, digit))| match at % 2 {
        0 => u32::from(*digit),
        _ => u32::from(*digit) * 2 / 10 + u32::from(*digit) * 2 % 10,
    });
    weighed.sum::<u32>() % 10 == 0
}

/// IPv4 and IPv6 addresses, with or without a port.
pub(crate) fn addresses(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let letter = |place: Option<usize>| {
        place
            .and_then(|place| bytes.get(place))
            .filter(|byte| byte.is_ascii_alphanumeric())
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = at + bytes[at..].iter().take_while(|byte| part(byte)).count();
        if end > at {
            // Letters that belong to a word are not part of an address; digits beside one may be. Only a version is known by its `v`.
            let mut run = text.get(at..end).unwrap_or_default();
            if let Some(before) = letter(at.checked_sub(1)) {
                let version = before.eq_ignore_ascii_case(&b'v') && letter(at.checked_sub(2)).is_none();
                run = run.trim_start_matches(|c: char| c.is_ascii_alphabetic() || version && c.is_ascii_digit());
            }
            let begin = end - run.len();
            if letter(Some(end)).is_some() {
                run = run.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            }
            address(run, begin, &mut found);
        }
        at = end + 1;
    }
    found
}

/// `run` holds nothing but what addresses are made of; it stands at `begin`.
fn address(run: &str, begin: usize, found: &mut Vec<Range<usize>>) {
    let sentence = |text: &str| -> usize {
        let text = text.trim_end_matches('.');
        text.len() - usize::from(text.ends_with(':') && !text.ends_with("::"))
    };
    let lead = usize::from(run.starts_with('.') || (run.starts_with(':') && !run.starts_with("::")));
    let run = run.get(lead..).unwrap_or_default();
    let run = run.get(..sentence(run)).unwrap_or_default();
    if !run.bytes().any(|byte| byte.is_ascii_digit()) {
        return;
    }
    let begin = begin + lead;
    if run.parse::<IpAddr>().is_ok() {
        found.push(begin..begin + run.len());
        return;
    }
    let mut at = begin;
    for piece in run.split(':') {
        // `a` to `f` at its ends are of a word or a unit: `10.0.0.1b`.
        let letters = |c: char| c.is_ascii_alphabetic();
        let digits = piece.trim_start_matches(letters);
        let first = at + piece.len() - digits.len();
        let digits = digits.trim_end_matches(letters);
        if digits.parse::<Ipv4Addr>().is_ok() {
            found.push(first..first + digits.len());
        }
        at += piece.len() + 1;
    }
}
