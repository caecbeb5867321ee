//! The law as documents: one page a jurisdiction, written from the packs.

mod holidays;

use anyhow::Result;
use chrono::Datelike;
use pg_consent_policy::codes::Promotional;
use pg_consent_policy::pack::{self, AnswerDeadline, Deadline, Pack, Requirement, Rule, Switch};
use std::collections::BTreeMap;
use std::path::Path;

/// At the head of each page: no page without it is ever removed.
const MARK: &str = "<!-- Written by `make docs` from policy/packs; changes made here are lost. -->";

/// Headings over the rules, in the order of the pages.
const THEMES: [&str; 12] = [
    "Service messages",
    "Prohibitions",
    "How far an opt-out reaches",
    "Registers of those who want no messages",
    "Consent",
    "Existing relationships",
    "Allowed unless refused",
    "Running contracts",
    "What the data must have been collected for",
    "Hours and number of calls",
    "Form of the message",
    "Retention",
];

fn theme(rule: &Rule) -> usize {
    match rule.then {
        Requirement::Service(_) => 0,
        Requirement::Prohibited(_) => 1,
        Requirement::OptOutReach(_) => 2,
        Requirement::Register(_) => 3,
        Requirement::Consent(_) => 4,
        Requirement::Relationship(_) => 5,
        Requirement::Regime(_) => 6,
        Requirement::OngoingContract(_) => 7,
        Requirement::CollectedFor(_) => 8,
        Requirement::Hours(_) | Requirement::Cap(_) => 9,
        Requirement::Form(_) => 10,
        Requirement::Retention(_) => 11,
    }
}

/// All pages by file name.
pub fn pages(packs: &[Pack]) -> BTreeMap<String, String> {
    let mut pages: BTreeMap<String, String> =
        packs.iter().map(|p| (format!("{}.md", p.id), page(p))).collect();
    pages.insert("README.md".into(), index(packs));
    pages
}

/// The files of a folder that differ from the pages: other, missing, or of no pack any more.
pub fn stale(dir: &Path, pages: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let written_here = |path: &Path| {
        path.extension().is_some_and(|x| x == "md")
            && std::fs::read_to_string(path).is_ok_and(|text| text.contains(MARK))
    };
    crate::pages::stale(dir, pages, written_here)
}

/// Writes the pages that differ and removes those of packs that are no more; their names.
pub fn write(dir: &Path, pages: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let stale = stale(dir, pages)?;
    crate::pages::write(dir, pages, &stale)?;
    Ok(stale)
}

/// Text inside a page: nothing of it may act as markup.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('<', "&lt;").replace('|', "\\|").replace('*', "\\*")
}

fn index(packs: &[Pack]) -> String {
    let mut sorted: Vec<&Pack> = packs.iter().collect();
    sorted.sort_by_key(|p| (p.fallback, &p.title));
    let rows = sorted.iter().map(|p| {
        format!(
            "| [{}]({}.md) | {} | {} | {} | {} |\n",
            plain(&p.title),
            p.id,
            p.countries.iter().map(|c| c.code.as_str()).collect::<Vec<_>>().join(", "),
            plain(&p.authority),
            p.rules.len(),
            p.switches.len()
        )
    });
    format!(
        "{MARK}\n\n# The law as pg_consent applies it\n\n\
         Policy version {}. One page a jurisdiction, each rule in words, with its citation and its versions. The rules \
         themselves are [data](../../policy/packs); in the database `consent.policy('GB')` shows those in force, with \
         what the operator decided where the law is contested. This is no legal advice.\n\n\
         | Jurisdiction | Countries | Authority | Rules | Contested points |\n|---|---|---|---|---|\n{}\n\
         ## What holds everywhere\n\n\
         - What no rule allows is denied, and so is whatever is not known.\n\
         - An opt-out, an objection or a request for erasure beats every permission, from the transaction on that \
         records it. Only a later opt-in by the same person that is itself valid lifts it. Where the law leaves days to \
         act, they are for messages that were under way already.\n\
         - Permissions (consent, relationships, what is allowed unless refused, running contracts) are alternatives: any \
         one will do. Prohibitions, registers, hours, limits, form and retention can each deny what is permitted.\n\
         - Consent is given actively, to this sender, and can be proved. Boxes ticked beforehand, consent bundled with \
         other terms, implied, or made a condition of a sale is none.\n\
         - A service message that carries more advertising than its jurisdiction lets pass is judged as advertising.\n\
         - A rule holds from its first day to its last, both whole days in the contact's own time zone.\n\
         - Where a point of law is contested, its page says which reading holds by default and why. An operator who \
         reads the law otherwise records that in `consent_data.policy_decision`.\n\n\
         ## How sure a reading is\n\n\
         Each rule has a confidence. `high`: from the text of the law, or from several sources that agree. `medium`: from \
         one source, or taken as settled. `low`: contested or not verified; ask a lawyer before you rest on it.\n",
        pack::POLICY_VERSION,
        rows.collect::<String>(),
    )
}

fn page(pack: &Pack) -> String {
    let mut page = format!("{MARK}\n\n# {}\n\n", plain(&pack.title));
    if let Some(preface) = pack::preface(&pack.id) {
        page += &format!("{}\n\n", plain(&preface));
    }
    page += &facts(pack);
    if !pack.switches.is_empty() {
        page += "## Contested points\n\n";
        page.extend(pack.switches.iter().map(|s| contested_point(pack, s)));
    }
    // A rule that became another kind of rule stands with what it is now.
    let mut families: Vec<(usize, Vec<&Rule>)> = Vec::new();
    for rule in &pack.rules {
        match families.iter_mut().find(|(_, f)| f[0].name() == rule.name()) {
            Some((_, versions)) => versions.push(rule),
            None => families.push((0, vec![rule])),
        }
    }
    for (at, versions) in &mut families {
        versions.sort_by_key(|r| std::cmp::Reverse(r.from));
        *at = theme(versions[0]);
    }
    for (at, heading) in THEMES.iter().enumerate() {
        let of_theme: Vec<_> = families.iter().filter(|(t, _)| *t == at).collect();
        if !of_theme.is_empty() {
            page += &format!("## {heading}\n\n");
            page.extend(of_theme.iter().map(|(_, versions)| family(versions)));
        }
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

const fn amount(promotional: Promotional) -> &'static str {
    match promotional {
        Promotional::None => "any message, whatever it carries",
        Promotional::Incidental => "incidental advertising",
        Promotional::Substantial => "substantial advertising",
    }
}

fn facts(pack: &Pack) -> String {
    let mut rows = vec![("Authority", plain(&pack.authority))];
    let countries: Vec<String> =
        pack.countries.iter().map(|c| format!("{} (time zone {})", c.code, c.zone)).collect();
    rows.push((
        "Countries",
        match (countries.is_empty(), pack.fallback) {
            (true, _) => {
                "every country that no other pack names, and contacts whose country is not known".into()
            }
            (false, true) => format!("{}; and every country that no other pack names", countries.join(", ")),
            (false, false) => countries.join(", "),
        },
    ));
    let mut mixed = amount(pack.mixed_from).to_owned();
    for (channel, from) in &pack.mixed_from_on {
        mixed += &format!("; on channel `{channel}`: {}", amount(*from));
    }
    rows.push(("What makes a service message advertising", mixed));
    let deadline = match &pack.opt_out_deadline {
        None => "at once; the law names no number of days".to_owned(),
        Some(Deadline { business_days, counts_the_day, citation }) => format!(
            "at once; the outer limit in law is {business_days} business days, of which the first is {} ({})",
            if *counts_the_day { "the day of the request" } else { "the day after the request" },
            plain(citation)
        ),
    };
    rows.push(("When an opt-out takes effect", deadline));
    if let Some(AnswerDeadline { months, citation }) = &pack.answer_deadline {
        let time = if *months == 1 { "a month".to_owned() } else { format!("{months} months") };
        rows.push((
            "When whoever refused must be told",
            format!("at the latest {time} after the request ({})", plain(citation)),
        ));
    }
    if !pack.holidays.is_empty() {
        rows.push(("Public holidays", holidays::words(&pack.holidays)));
    }
    let rows: String = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    format!("| | |\n|---|---|\n{rows}\n")
}

fn contested_point(pack: &Pack, point: &Switch) -> String {
    let Switch { id, default, argument, citation } = point;
    let rests = |r: &&Rule| r.describe().contested.contains(id);
    let rules: Vec<String> = pack.rules.iter().filter(rests).map(|r| format!("`{}`", r.id)).collect();
    let reading = if *default { "permissive" } else { "strict" };
    format!(
        "### `{id}`\n\n- By default the **{reading}** reading holds.\n- Argument: {}\n- Law: {}\n- Rules: {}\n\n",
        plain(argument),
        plain(citation),
        if rules.is_empty() { "none".to_owned() } else { rules.join(", ") }
    )
}

/// A rule with its versions, the newest first.
fn family(versions: &[&Rule]) -> String {
    let mut text = format!("### `{}`\n\n", versions[0].name());
    text.extend(versions.iter().map(|r| version(r)));
    text
}

fn version(rule: &Rule) -> String {
    let words = rule.describe();
    let last = rule.until.and_then(|u| u.pred_opt());
    // Packs write 1900 for what is as old as the messages are.
    let days = match (rule.from.year() > 1900, last) {
        (false, None) => "always".to_owned(),
        (false, Some(last)) => format!("to {last}"),
        (true, None) => format!("from {}", rule.from),
        (true, Some(last)) => format!("from {} to {last}", rule.from),
    };
    let mut lines = vec![
        ("Messages", plain(&words.messages)),
        ("Channels", plain(&words.channels)),
        ("To", plain(&words.recipients)),
        ("Rule", plain(&words.requirement)),
        ("Law", plain(&rule.citation)),
    ];
    if !rule.source.is_empty() {
        lines.push(("Source", plain(&rule.source)));
    }
    lines.push(("Confidence", rule.confidence.to_string()));
    if !words.obligations.is_empty() {
        lines.push(("Obligations", plain(&words.obligations.join("; "))));
    }
    if !rule.note.is_empty() {
        lines.push(("Note", plain(&rule.note)));
    }
    let lines: String = lines.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    format!("**`{}`**, {days}\n\n{lines}\n", rule.id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_no_pack_is_stale_and_a_foreign_file_is_left_alone() {
        let dir = std::env::temp_dir().join(format!("lawdocs-{}", std::process::id()));
        let pages = pages(pack::builtin());
        assert_eq!(write(&dir, &pages).unwrap().len(), pages.len());
        assert_eq!(stale(&dir, &pages).unwrap(), Vec::<String>::new());
        std::fs::write(dir.join("xx.md"), format!("{MARK}\n")).unwrap();
        std::fs::write(dir.join("notes.md"), "mine\n").unwrap();
        std::fs::write(dir.join("gb.md"), "changed by hand\n").unwrap();
        assert_eq!(stale(&dir, &pages).unwrap(), ["gb.md", "xx.md"]);
        assert_eq!(write(&dir, &pages).unwrap(), ["gb.md", "xx.md"]);
        assert!(dir.join("notes.md").exists() && !dir.join("xx.md").exists());
        assert_eq!(stale(&dir, &pages).unwrap(), Vec::<String>::new());
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(stale(&dir, &pages).unwrap().len(), pages.len(), "all are missing");
    }

    #[test]
    fn no_rule_and_no_contested_point_is_missing_from_its_page() {
        let pages = pages(pack::builtin());
        for pack in pack::builtin() {
            let page = &pages[&format!("{}.md", pack.id)];
            for rule in &pack.rules {
                assert_eq!(page.matches(&format!("**`{}`**", rule.id)).count(), 1, "{}", rule.id);
            }
            for point in &pack.switches {
                assert!(page.contains(&format!("### `{}`", point.id)), "{}", point.id);
                assert!(!page.contains("Rules: none"), "{}: a point that no rule rests on", pack.id);
            }
            assert!(pages["README.md"].contains(&format!("({}.md)", pack.id)));
        }
    }
}
