//! What is kept to prove an opt-in, and whether it would: GDPR art. 7(1), CASL s. 13 and their like put the burden on
//! the sender (EDPB Guidelines 05/2020: who, when, how, and what the person was told).
//!
//! Evidence is a JSON object. The keys below have a meaning and a form; any other may stand beside them.

use crate::codes::{EventKind, Method};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// A value of a known key that can't be what the key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub key: &'static str,
    pub expected: &'static str,
}

/// How a known key is written.
#[derive(Clone, Copy)]
enum Form {
    /// A name, a number or a hash: what is found again by it is kept elsewhere.
    Reference,
    Text(usize),
    Address,
}

const KNOWN: &[(&str, Form)] = &[
    // The form or screen, and where it stood.
    ("form", Form::Reference),
    ("page", Form::Text(2000)),
    // What the person read or heard: SHA-256 of a text kept in consent_data.wording, or the name of one.
    ("wording", Form::Reference),
    ("wording_version", Form::Reference),
    ("language", Form::Text(35)),
    // What the person did: box ticked, button pressed, reply to a text message.
    ("mechanism", Form::Text(200)),
    ("ip", Form::Address),
    ("user_agent", Form::Text(1000)),
    // Of an oral consent.
    ("script", Form::Reference),
    ("recording", Form::Reference),
    // Of a signed one.
    ("document", Form::Reference),
    // Of a double opt-in: the token of the link that was followed, or the message that answered.
    ("double_opt_in_token", Form::Text(500)),
    ("confirmation", Form::Reference),
    // Who asked, where that was somebody else.
    ("collected_by", Form::Text(500)),
];

/// The longest name of something: a URL fits, a text does not.
const MAX_REFERENCE: usize = 500;

impl Form {
    const fn expected(self) -> &'static str {
        match self {
            Form::Reference => "a number, or a text of 1 to 500 characters in one line",
            Form::Text(_) => "one line of text of reasonable length",
            Form::Address => "an IPv4 or IPv6 address",
        }
    }

    fn fits(self, value: &Value) -> bool {
        let line = |text: &str, max: usize| {
            !text.trim().is_empty() && text.chars().count() <= max && !text.chars().any(char::is_control)
        };
        match (self, value) {
            (Form::Reference, Value::Number(_)) => true,
            (Form::Reference, Value::String(text)) => line(text, MAX_REFERENCE),
            (Form::Text(max), Value::String(text)) => line(text, max),
            (Form::Address, Value::String(text)) => text.trim().parse::<IpAddr>().is_ok(),
            _ => false,
        }
    }
}

/// The first known key whose value is none; `null` says that nothing is held.
pub fn fault(evidence: &Value) -> Option<Fault> {
    let held = evidence.as_object()?;
    KNOWN.iter().find_map(|(key, form)| {
        let value = held.get(*key).filter(|v| !v.is_null())?;
        (!form.fits(value)).then_some(Fault { key, expected: form.expected() })
    })
}

/// Whether the kind is one whose evidence must be in order: what takes permission away is never refused for it.
pub const fn is_checked(kind: EventKind) -> bool {
    matches!(kind, EventKind::OptIn | EventKind::OptInConfirmed)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    None,
    Partial,
    Complete,
}

impl Completeness {
    pub const fn code(self) -> &'static str {
        match self {
            Completeness::None => "none",
            Completeness::Partial => "partial",
            Completeness::Complete => "complete",
        }
    }
}

/// Any of the keys will do; the first is named where all lack.
type Needs = &'static [&'static [&'static str]];

const ONLINE: Needs = &[&["form"], &["wording", "wording_version"], &["page", "mechanism"]];
const ORAL: Needs = &[&["script"], &["recording"]];
const SIGNED: Needs = &[&["document", "form"], &["wording", "wording_version"]];
const BY_OTHERS: Needs =
    &[&["collected_by"], &["form"], &["wording", "wording_version"], &["page", "mechanism"]];
const CONFIRMED: Needs = &[&["double_opt_in_token", "confirmation"]];

/// Could it be proved two years later? With what lacks. Of a refusal nothing has to be proved; of a sale, an enquiry and
/// so on whatever leads to its record will do. This says how well one would stand; whether a message may go, the
/// packs say.
pub fn grade(
    kind: EventKind,
    method: Option<Method>,
    evidence: Option<&Value>,
) -> (Completeness, Vec<&'static str>) {
    if kind.is_restriction() || kind == EventKind::RegisterDelisted {
        return (Completeness::Complete, Vec::new());
    }
    let empty = Map::new();
    let held = evidence.and_then(Value::as_object).unwrap_or(&empty);
    let has = |key: &str| {
        let value = held.get(key).filter(|v| !v.is_null());
        value.is_some_and(|v| KNOWN.iter().any(|(known, form)| *known == key && form.fits(v)))
    };
    let needs = match (kind, method) {
        (EventKind::OptInConfirmed, _) => CONFIRMED,
        (EventKind::OptIn, Some(Method::Oral)) => ORAL,
        (EventKind::OptIn, Some(Method::WrittenSigned)) => SIGNED,
        (EventKind::OptIn, Some(Method::ThirdParty)) => BY_OTHERS,
        (EventKind::OptIn, _) => ONLINE,
        _ => &[],
    };
    let mut lacks: Vec<&str> =
        needs.iter().filter(|any| !any.iter().any(|key| has(key))).map(|any| any[0]).collect();
    if kind == EventKind::OptIn && method.is_none() {
        lacks.insert(0, "method");
    }
    if held.values().all(Value::is_null) {
        if needs.is_empty() {
            lacks.push("reference");
        }
        (Completeness::None, lacks)
    } else if lacks.is_empty() {
        (Completeness::Complete, lacks)
    } else {
        (Completeness::Partial, lacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_that_was_ever_taken_for_evidence_is_refused() {
        let long = "x".repeat(500);
        for good in [
            json!({}),
            json!({"form": null}),
            json!({"form": 1}),
            json!({"form": "footer/2", "wording": "a".repeat(64), "wording_version": 3, "page": "https://shop.example/join"}),
            json!({"form": "v1", "anything": {"else": [1, true]}, "order": 7}),
            json!({"script": 1, "recording": "call-7"}),
            json!({"ip": "2001:db8::1"}),
            json!({"ip": "192.0.2.7", "mechanism": "box ticked", "double_opt_in_token": "abc"}),
            json!({"wording": long}),
            json!("no object is another's fault"),
        ] {
            assert_eq!(fault(&good), None, "{good}");
        }
    }

    #[test]
    fn a_value_that_can_not_be_what_its_key_is_for_is_found() {
        for (bad, key) in [
            (json!({"form": ""}), "form"),
            (json!({"form": "  "}), "form"),
            (json!({"form": true}), "form"),
            (json!({"form": {"id": 1}}), "form"),
            (json!({"order": 7, "wording": ["I agree"]}), "wording"),
            (json!({"wording": "w".repeat(501)}), "wording"),
            (json!({"page": 7}), "page"),
            (json!({"page": "/join\nSet-Cookie"}), "page"),
            (json!({"ip": "300.1.1.1"}), "ip"),
            (json!({"ip": 1}), "ip"),
            (json!({"recording": false}), "recording"),
            (json!({"double_opt_in_token": 5}), "double_opt_in_token"),
        ] {
            assert_eq!(fault(&bad).map(|f| f.key), Some(key), "{bad}");
        }
    }

    #[test]
    fn evidence_that_would_not_convince_is_not_called_complete() {
        use EventKind::*;
        use Method::*;
        let of = |kind, method, evidence: Value| {
            let (found, lacks) = grade(kind, method, Some(&evidence));
            (found.code(), lacks)
        };
        let form = json!({"form": "footer/2", "wording": "abc", "page": "/join"});
        assert_eq!(of(OptIn, Some(Active), form.clone()), ("complete", vec![]));
        assert_eq!(
            of(OptIn, Some(Active), json!({"form": 1, "wording_version": 2, "mechanism": "box"})),
            ("complete", vec![])
        );
        assert_eq!(of(OptIn, Some(Active), json!({"form": 1})), ("partial", vec!["wording", "page"]));
        assert_eq!(of(OptIn, Some(Oral), form.clone()), ("partial", vec!["script", "recording"]));
        assert_eq!(of(OptIn, Some(Oral), json!({"script": 3, "recording": "r1"})), ("complete", vec![]));
        assert_eq!(
            of(OptIn, Some(Oral), json!({"script": 3, "recording": ""})),
            ("partial", vec!["recording"])
        );
        assert_eq!(
            of(OptIn, Some(WrittenSigned), json!({"document": 3, "wording": 1})),
            ("complete", vec![])
        );
        assert_eq!(of(OptIn, Some(ThirdParty), form.clone()), ("partial", vec!["collected_by"]));
        assert_eq!(of(OptIn, None, form.clone()), ("partial", vec!["method"]));
        assert_eq!(
            of(OptIn, Some(Active), json!({"anything": 1})),
            ("partial", vec!["form", "wording", "page"])
        );
        assert_eq!(of(OptIn, Some(Active), json!({"form": null})), ("none", vec!["form", "wording", "page"]));
        assert_eq!(
            of(OptInConfirmed, None, json!({"link": "clicked"})),
            ("partial", vec!["double_opt_in_token"])
        );
        assert_eq!(of(OptInConfirmed, None, json!({"double_opt_in_token": "t"})), ("complete", vec![]));
        assert_eq!(of(Purchase, None, json!({"order": 1})), ("complete", vec![]));
        assert_eq!(of(Purchase, None, json!({})), ("none", vec!["reference"]));
        assert_eq!(grade(OptIn, Some(Active), None).0, Completeness::None);
        for refusal in [OptOut, Objection, ErasureRequest, OptInRefused, RegisterListed] {
            assert_eq!(grade(refusal, None, None), (Completeness::Complete, vec![]), "{refusal}");
            assert!(!is_checked(refusal));
        }
    }
}
