//! The answers as a page: what a stranger gets, and of all others only what is other.

use super::answers::{Code, Codes, PAIRS, code_words, pairs};
use super::hours;
use super::situations::Situation;
use enumset::EnumSet;
use pg_consent_policy::codes::*;
use pg_consent_policy::pack::Pack;
use std::collections::BTreeMap;

const EVERYBODY: u32 = (1 << PAIRS) - 1;

const HEAD: &str = "\
Written by `make matrix` from the packs, and compared with them by a test: no answer changes unnoticed.

Each section is one situation, each line one answer: the code, the channels, the natures of message, the contacts. A yes
is named by its basis. The first entry says all; every other one says only what differs from the entry it is compared
with, and what has no entry does not differ. Unless said otherwise the message is in order, concerns the category of the
contact's own dealings, and goes out on Tuesday 2026-11-03 at 14:30 local time; what the contact did, it did a month
earlier on every channel, and refusal was offered. `no category` is a message that names none. Region ZZZ stands for one
of which the rules do not speak.
";

/// The page of one pack.
pub fn of(pack: &Pack, situations: &[Situation], answers: &[Vec<Codes>]) -> String {
    let mut page = format!("# {}\n\n{HEAD}", pack.title);
    for (i, (situation, codes)) in situations.iter().zip(answers).enumerate() {
        if situation.clock.is_some() {
            continue;
        }
        let mut entries: Vec<(String, Vec<&str>)> = Vec::new();
        for (contact, own) in situation.contacts.iter().zip(codes) {
            let in_situation = |at: usize, name: &str| {
                let place = situations[at].contacts.iter().position(|c| c.name == name);
                place.and_then(|p| answers[at].get(p))
            };
            let before = match (situation.parent, contact.parent) {
                (Some(parent), of) => {
                    in_situation(parent, &contact.name).or_else(|| in_situation(i, of.unwrap_or_default()))
                }
                (None, Some(of)) => in_situation(i, of),
                (None, None) => None,
            };
            let mut lines = lines(own, before, situation.with_reasons);
            if let (None, Some(of)) = (situation.parent, contact.parent) {
                lines = format!("(compared with {of})\n{lines}");
            }
            match entries.iter_mut().find(|(l, _)| *l == lines) {
                Some((_, contacts)) => contacts.push(&contact.name),
                None => entries.push((lines, vec![&contact.name])),
            }
        }
        let silent = |lines: &str| lines.is_empty() || lines.starts_with('(') && lines.trim().ends_with(')');
        entries.retain(|(lines, _)| !silent(lines));
        if !entries.is_empty() {
            let against = situation.parent.map(|p| format!(" (compared with: {})", situations[p].name));
            page += &format!("\n== {}{}\n", situation.name, against.unwrap_or_default());
        }
        for (lines, contacts) in entries {
            page += &format!("\n{}\n{}", contacts.join("; "), indented(&lines));
        }
    }
    let mut clocks = Vec::new();
    for (situation, codes) in situations.iter().zip(answers).filter(|(s, _)| s.clock.is_some()) {
        for ((channel, nature), pairs) in codes.iter().flatten() {
            clocks.push((situation, pairs[0] < 128, *channel, *nature));
        }
    }
    if !clocks.is_empty() {
        page +=
            &format!("\n== hours in which an individual who agreed may be reached\n{}", hours::page(&clocks));
    }
    page
}

fn indented(lines: &str) -> String {
    lines.lines().map(|l| format!("  {l}\n")).collect()
}

/// One line for each code and set of channels, natures and contacts.
fn lines(own: &Codes, before: Option<&Codes>, with_reasons: bool) -> String {
    type Cells = BTreeMap<(Channel, u32), EnumSet<Nature>>;
    let mut by_code: BTreeMap<Code, Cells> = BTreeMap::new();
    for (key, codes) in own {
        let was = before.and_then(|b| b.get(key));
        let mut masks: BTreeMap<Code, u32> = BTreeMap::new();
        for (pair, code) in codes.iter().enumerate() {
            let same =
                was.is_some_and(|w| w[pair] == *code || !with_reasons && w[pair] >= 128 && *code >= 128);
            if !same {
                *masks.entry(*code).or_default() |= 1 << pair;
            }
        }
        for (code, mask) in masks {
            by_code.entry(code).or_default().entry((key.0, mask)).or_default().insert(key.1);
        }
    }
    let mut text = String::new();
    for (code, cells) in by_code {
        let mut merged: BTreeMap<(EnumSet<Nature>, u32), EnumSet<Channel>> = BTreeMap::new();
        for ((channel, mask), natures) in cells {
            merged.entry((natures, mask)).or_default().insert(channel);
        }
        for ((natures, mask), channels) in merged {
            text += &format!(
                "{}: {} | {} | {}\n",
                code_words(code),
                words(channels),
                nature_words(natures),
                pair_words(mask)
            );
        }
    }
    text
}

fn words<T: enumset::EnumSetType + std::fmt::Display>(set: EnumSet<T>) -> String {
    if set == EnumSet::all() {
        return "all".to_owned();
    }
    set.iter().map(|x| x.to_string()).collect::<Vec<_>>().join(" ")
}

fn nature_words(set: EnumSet<Nature>) -> String {
    let service: EnumSet<Nature> = Nature::ALL.iter().copied().filter(|n| n.is_service()).collect();
    let part = |all: EnumSet<Nature>, name: &str| {
        let (own, without) = (set & all, all - set);
        match (own.is_empty(), without.is_empty()) {
            (true, _) => None,
            (_, true) => Some(name.to_owned()),
            _ if without.len() < own.len() => Some(format!("{name} but {}", words(without))),
            _ => Some(words(own)),
        }
    };
    let parts = [part(service, "service"), part(!service, "advertising")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn pair_words(mask: u32) -> String {
    if mask == EVERYBODY {
        return "everybody".to_owned();
    }
    if mask.count_ones() as usize > PAIRS / 2 {
        return format!("all but {}", pair_list(EVERYBODY & !mask));
    }
    pair_list(mask)
}

fn pair_list(mask: u32) -> String {
    let kinds = AddressKind::ALL.len();
    let whole = (1u32 << kinds) - 1;
    let mut list: Vec<String> = Vec::new();
    for (i, subscriber) in Subscriber::ALL.iter().enumerate() {
        if (mask >> (i * kinds)) & whole == whole {
            list.push(format!("{subscriber}:*"));
            continue;
        }
        for (j, (s, k)) in pairs().enumerate() {
            if s == *subscriber && mask & (1 << j) != 0 {
                list.push(format!("{s}:{k}"));
            }
        }
    }
    list.join(" ")
}
