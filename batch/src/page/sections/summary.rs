//! The head: who, when, under which law, and what needs attention.

use crate::page::cells;
use crate::page::figures::Figures;
use crate::page::tally::{DAYS_AHEAD, OVER};
use crate::page::words::{contacts, count, percent, words};

pub fn title(f: &Figures) -> String {
    match f.senders.first() {
        Some(sender) => format!("Consent report: {}", sender.name),
        None => "Consent report".into(),
    }
}

pub fn lead(f: &Figures) -> Vec<(&'static str, String)> {
    let senders = f.senders.iter().map(|s| match &s.country {
        Some(country) => format!("{} ({country})", s.name),
        None => s.name.clone(),
    });
    let senders: Vec<String> = senders.collect();
    let marketing = match f.marketing_blocked.as_deref() {
        None => "on".to_owned(),
        Some(reason) => format!("off: {}", words(reason)),
    };
    vec![
        ("Senders", if senders.is_empty() { "none registered yet".into() } else { senders.join(", ") }),
        ("Database", f.database.clone()),
        ("Made at", f.made_at.clone()),
        (
            "Rules",
            if f.policy_version.is_empty() { "–".into() } else { format!("version {}", f.policy_version) },
        ),
        ("Marketing", marketing),
        ("Contacts", count(f.contacts)),
        ("Data", freshness(f)),
    ]
}

fn freshness(f: &Figures) -> String {
    let denying = f.binding_problems.iter().filter(|p| p.denies).count();
    match (f.bindings.iter().map(|b| &b.seen_at).min(), denying, f.binding_problems.len()) {
        (None, ..) => "no CRM is bound; the ledger alone counts".into(),
        (Some(seen), 0, 0) => format!("fresh; all bound views read since {seen}"),
        (Some(seen), 0, n) => format!("fresh, with {}; all views read since {seen}", remarks(n)),
        (_, n, _) => format!("not fresh: {} of the CRM's data deny marketing", problems(n)),
    }
}

fn remarks(n: usize) -> String {
    if n == 1 { "1 remark".into() } else { format!("{n} remarks") }
}

fn problems(n: usize) -> String {
    if n == 1 { "1 problem".into() } else { format!("{n} problems") }
}

pub fn attention(f: &Figures) -> Vec<String> {
    let mut all = Vec::new();
    if f.senders.is_empty() {
        all.push("No sender is registered, so nothing may be sent by anybody.".into());
    } else if !f.senders.iter().any(|s| s.is_default) {
        all.push("No sender is the default one: permissions were not counted.".into());
    }
    match f.marketing_blocked.as_deref() {
        Some("switched_off") => {
            all.push("Marketing is switched off: everything but service messages is denied.".into())
        }
        Some(reason) => all.push(format!("All marketing is denied: {}.", words(reason))),
        None => {}
    }
    for p in &f.binding_problems {
        let effect = if p.denies { "; what rests on it is denied meanwhile" } else { "" };
        all.push(format!("{}: {}{effect}.", p.binding, p.problem));
    }
    if f.waiting > 0 {
        let who = cells::shown(f.waiting).map_or_else(|| "fewer than ten contacts".to_owned(), contacts);
        all.push(format!(
            "{who}: something may have been taken away from them since the last fold, and until the next they are denied."
        ));
    }
    for p in &f.permission {
        if p.without_proof > 0 {
            all.push(format!(
                "For {}, {} are denied for want of proof alone.",
                p.message(),
                contacts(p.without_proof)
            ));
        }
        let ending =
            p.ends.iter().map(|e| e.contacts).sum::<u64>() + cells::shown(p.ends_pooled).unwrap_or(0);
        let allowed = p.sum(|a| a.allowed);
        if ending > 0 && allowed > 0 {
            all.push(format!(
                "For {}, {} of the permissions ({}) end within {DAYS_AHEAD} days if nothing happens.",
                p.message(),
                count(ending),
                percent(ending as f64 / allowed as f64)
            ));
        }
    }
    all.extend(retention(f));
    let without: u64 = f.evidence.iter().filter(|e| e.kind == "opt_in").map(|e| e.without).sum();
    if without > 0 {
        all.push(format!("{} recorded opt-ins have no evidence.", count(without)));
    }
    all.extend(nights(f));
    all
}

fn retention(f: &Figures) -> Option<String> {
    let over: u64 = f.retention_ends.iter().filter(|e| e.stage == OVER).map(|e| e.contacts).sum();
    let last = f.runs.iter().find(|r| r.step == "retention");
    let applied = last.is_some_and(|r| r.figures["applied"] == serde_json::Value::Bool(true));
    let night = match last {
        None => " Retention has not run yet.",
        Some(_) if !applied => " The last run of retention was a dry run.",
        Some(_) => "",
    };
    (over > 0 && !night.is_empty()).then(|| {
        format!(
            "For {} the time for which their data may be kept for marketing is over.{night}",
            contacts(over)
        )
    })
}

/// How the last run of each step ended, where it did not end well, and what it found.
fn nights(f: &Figures) -> Vec<String> {
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for run in &f.runs {
        if seen.contains(&run.step.as_str()) {
            continue;
        }
        seen.push(&run.step);
        if run.outcome != "done" {
            all.push(format!("The last {} of {} ended as: {}.", run.step, run.started_at, run.outcome));
        }
        if let Some(drifted) =
            run.figures.get("drifted").and_then(serde_json::Value::as_u64).filter(|n| *n > 0)
        {
            all.push(format!(
                "The last {} found {} whose state had drifted from the facts, and mended them.",
                run.step,
                contacts(drifted)
            ));
        }
    }
    if f.runs.is_empty() {
        all.push("No night has run yet.".into());
    }
    all
}
