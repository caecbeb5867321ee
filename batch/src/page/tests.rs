#![allow(clippy::unwrap_used)]
//! The page of figures made by hand: hostile names, nobody at all, everything at once.

use super::figures::*;
use super::sections;
use askama::Template;
use serde_json::json;

const HOSTILE: &str = "<script>alert('x')</script>&\"<img src=x onerror=y>";

fn render(figures: &Figures) -> String {
    sections::page(figures).render().unwrap()
}

fn full() -> Figures {
    let answer = |jurisdiction: &str, allowed, code: &str, contacts| Answer {
        jurisdiction: jurisdiction.into(),
        allowed,
        code: code.into(),
        contacts,
    };
    Figures {
        made_at: "2026-03-04 05:06 UTC".into(),
        database: HOSTILE.into(),
        senders: vec![Sender { name: HOSTILE.into(), country: None, is_default: true }],
        policy_version: "2026.1".into(),
        contacts: 1_234_567,
        binding_problems: vec![Problem {
            binding: HOSTILE.into(),
            problem: "view is gone".into(),
            denies: true,
        }],
        permission: vec![Permission {
            message_kind: "newsletter".into(),
            product_category: Some(HOSTILE.into()),
            answers: vec![
                answer("gb", true, "soft_opt_in", 1_000_000),
                answer("gb", false, "opted_out", 234_567),
            ],
            pooled: 0,
            ends: vec![Ends {
                week: 1,
                from: "2026-03-11".into(),
                basis: "soft_opt_in".into(),
                contacts: 77,
            }],
            ends_pooled: 0,
            without_proof: 0,
            in_part: Vec::new(),
        }],
        refusals: vec![Refusals {
            month: "2026-02".into(),
            kind: "opt_out".into(),
            sender: HOSTILE.into(),
            via: HOSTILE.into(),
            reason_code: "too_many".into(),
            events: 12,
        }],
        evidence: vec![Evidence {
            kind: "opt_in".into(),
            sender: HOSTILE.into(),
            method: HOSTILE.into(),
            events: 40,
            without: 4,
        }],
        similarity: Some(Similarity {
            threshold: 0.5,
            curve: vec![Point { threshold: 0.5, eligible: 0.1, inside: 0.9 }],
            at: "2026-03-04 05:06 UTC".into(),
            figures: json!({ HOSTILE: HOSTILE, "hubs": [{"category": HOSTILE, "sender": HOSTILE, "similar_to": 9}],
                "drift": {"largest_changes": [{"categories": [HOSTILE, "tea"], "before": 0.1, "now": 0.9}]} }),
        }),
        runs: vec![Run {
            step: HOSTILE.into(),
            started_at: "2026-03-04 05:06 UTC".into(),
            seconds: None,
            outcome: HOSTILE.into(),
            figures: json!({ HOSTILE: { HOSTILE: 1 } }),
        }],
        ..Figures::default()
    }
}

#[test]
fn no_name_brings_in_markup() {
    let html = render(&full());
    assert!(!html.contains("<script") && !html.contains("<img"), "escaped everywhere");
    assert!(html.contains("Hubs: ") && html.contains("Drift: "));
    assert!(html.contains("1,234,567") && html.contains("81.0 %"));
}

#[test]
fn an_empty_database_is_told_in_words_and_not_in_empty_charts() {
    let html = render(&Figures { made_at: "2026-03-04 05:06 UTC".into(), ..Figures::default() });
    assert!(!html.contains("<svg"));
    for words in [
        "No sender is registered",
        "No opt-outs recorded",
        "No opt-ins are recorded",
        "No night has run yet",
        "No curve has been drawn yet",
    ] {
        assert!(html.contains(words), "{words}");
    }
}

#[test]
fn every_chart_says_in_words_what_it_shows() {
    let html = render(&full());
    let charts = html.matches("<svg").count();
    assert!(charts >= 6, "{charts}");
    for part in ["role=\"img\" aria-labelledby=", "<title id=", "<desc id=", "<figcaption>", "<details open"]
    {
        assert_eq!(html.matches(part).count(), charts, "{part}");
    }
}
