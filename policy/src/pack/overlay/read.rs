//! Reading JSON so that every fault is reported, each with its path.

use crate::pack::Fault;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Reads a part of a document that lies at `path`; `None` where a fault was found. `required`: the fields without
/// which it is none.
///
/// A value that does not fit is reported, taken out, and the rest read again, so that one fault hides no other.
pub(super) fn part<T: DeserializeOwned>(
    value: &Value,
    path: &str,
    required: &[&str],
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let before = faults.len();
    rest(value, path, required, faults).filter(|_| faults.len() == before)
}

/// As [`part`], but what is left without the faults.
pub(super) fn rest<T: DeserializeOwned>(
    value: &Value,
    path: &str,
    required: &[&str],
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let before = faults.len();
    if let Value::Object(fields) = value {
        for name in required.iter().filter(|r| !fields.contains_key(**r)) {
            faults.push(Fault { path: under(path, name), problem: "expected a value; there is none".into() });
        }
    }
    let mut rest = value.clone();
    let mut taken: Vec<Vec<Step>> = Vec::new();
    loop {
        let problem = match T::deserialize(&rest) {
            Ok(read) => return Some(read),
            Err(e) => e.to_string(),
        };
        let place = blame::<T>(&rest, &problem, required);
        // What is missed only because it was taken out is no fault of its own.
        let follows = taken.iter().filter(|t| t.len() > place.len() && t.starts_with(&place)).any(|t| {
            let missing =
                |step: &Step| matches!(step, Step::Key(n) if problem == format!("missing field `{n}`"));
            !problem.starts_with("missing field") || missing(&t[place.len()])
        });
        if !(follows || place.is_empty() && faults.len() > before) {
            faults.push(Fault { path: written(path, &place, &taken), problem });
        }
        if !take_out(&mut rest, &place) {
            return None;
        }
        taken.push(place);
    }
}

/// The innermost value that is to blame for a problem: without it the problem is gone, or another one comes first.
fn blame<T: DeserializeOwned>(root: &Value, problem: &str, required: &[&str]) -> Vec<Step> {
    let mut place = Vec::new();
    let lacking = |name: &str| problem == format!("missing field `{name}`");
    if root.is_object() && required.iter().any(|r| root.get(r).is_none() && lacking(r)) {
        return place;
    }
    loop {
        let inside: Vec<Step> = match at(root, &place) {
            Some(Value::Object(fields)) => fields.keys().cloned().map(Step::Key).collect(),
            Some(Value::Array(items)) => (0..items.len()).map(Step::Index).collect(),
            _ => Vec::new(),
        };
        let guilty = inside.into_iter().find(|step| {
            let mut without = root.clone();
            let mut there = place.clone();
            there.push(step.clone());
            take_out(&mut without, &there);
            let Err(e) = T::deserialize(&without) else { return true };
            let e = e.to_string();
            // Taken out, an innocent field can be the first that is missed.
            let missed = problem.starts_with("missing field")
                && !place.is_empty()
                && matches!(step, Step::Key(name) if e == format!("missing field `{name}`"));
            e != problem && !missed
        });
        match guilty {
            Some(step) => place.push(step),
            None => return place,
        }
    }
}

fn at<'v>(root: &'v Value, place: &[Step]) -> Option<&'v Value> {
    place.iter().try_fold(root, |value, step| match step {
        Step::Key(name) => value.get(name),
        Step::Index(i) => value.get(i),
    })
}

/// Whether there was something to take out: of the root nothing can be.
fn take_out(root: &mut Value, place: &[Step]) -> bool {
    let Some((last, outer)) = place.split_last() else { return false };
    let parent = outer.iter().try_fold(root, |value, step| match step {
        Step::Key(name) => value.get_mut(name),
        Step::Index(i) => value.get_mut(i),
    });
    match (parent, last) {
        (Some(Value::Object(fields)), Step::Key(name)) => fields.remove(name).is_some(),
        (Some(Value::Array(items)), Step::Index(i)) if *i < items.len() => {
            items.remove(*i);
            true
        }
        _ => false,
    }
}

/// The path as the author wrote the document: earlier items of a list may have been taken out.
fn written(path: &str, place: &[Step], taken: &[Vec<Step>]) -> String {
    let mut text = path.to_owned();
    for (n, step) in place.iter().enumerate() {
        match step {
            Step::Key(name) => text = under(&text, name),
            Step::Index(i) => {
                let earlier = taken
                    .iter()
                    .filter(|t| t.len() == n + 1 && t[..n] == place[..n] && matches!(t[n], Step::Index(_)));
                text = format!("{text}[{}]", i + earlier.count());
            }
        }
    }
    if text.is_empty() { "document".into() } else { text }
}

pub(super) fn under(path: &str, name: &str) -> String {
    match name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        true if path.is_empty() => name.to_owned(),
        true => format!("{path}.{name}"),
        false => format!("{path}[\"{name}\"]"),
    }
}
