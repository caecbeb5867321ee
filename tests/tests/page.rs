//! The privacy officer's page: well-formed, its charts with their figures beside them, equal to what SQL counts, and with
//! nothing in it that concerns one person.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use roxmltree::{Document, Node, ParsingOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const HOSTILE: &str = "<script>alert(1)</script>&\"<b>";

fn batch(cluster: &Cluster, arguments: &[&str]) -> (i32, String, String) {
    batch_as("postgres", cluster, arguments)
}

fn batch_as(user: &str, cluster: &Cluster, arguments: &[&str]) -> (i32, String, String) {
    let here = std::env::current_exe().unwrap();
    let run = Command::new(here.ancestors().nth(2).unwrap().join("consent-batch"))
        .args(arguments)
        .args(["--database", &cluster.url("postgres", user)])
        .output()
        .expect("target/release/consent-batch: cargo build --release -p consent-batch");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (run.status.code().unwrap_or(-1), text(&run.stdout), text(&run.stderr))
}

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pg_consent-page-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn texts(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|n| n.text().filter(|_| n.is_text())).collect()
}

fn tagged<'a, 'i: 'a>(document: &'a Document<'i>, tag: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    document.descendants().filter(move |n| n.tag_name().name() == tag)
}

fn values<'a>(node: Node<'a, 'a>) -> impl Iterator<Item = &'a str> {
    node.descendants().filter_map(|n| n.attribute("data-value"))
}

fn render(cluster: &Cluster, folder: &Folder) -> String {
    let file = folder.file("page.html");
    let (code, _, errors) = batch(cluster, &["report", "--html", &file]);
    assert_eq!(code, 0, "{errors}");
    std::fs::read_to_string(Path::new(&file)).unwrap()
}

fn check_form(html: &str) {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(html, options).unwrap();
    let ids: Vec<_> = document.descendants().filter_map(|n| n.attribute("id")).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "ids are unique");
    for svg in tagged(&document, "svg") {
        assert_eq!(svg.attribute("role"), Some("img"));
        let named: Vec<_> = svg.attribute("aria-labelledby").unwrap().split(' ').collect();
        for (part, id) in ["title", "desc"].iter().zip(named) {
            let part = svg.children().find(|n| n.tag_name().name() == *part).unwrap();
            assert_eq!(part.attribute("id"), Some(id));
            assert!(!texts(part).trim().is_empty());
        }
        let figure = svg.parent().unwrap();
        let table = figure.descendants().find(|n| n.tag_name().name() == "table").expect("a table beside it");
        let beside: Vec<_> = values(table).collect();
        for value in values(svg) {
            assert!(beside.contains(&value), "{value} stands in the chart alone");
        }
    }
    let mut level = 0;
    for heading in document.descendants().filter(|n| ["h1", "h2", "h3"].contains(&n.tag_name().name())) {
        let new: u32 = heading.tag_name().name()[1..].parse().unwrap();
        assert!(new <= level + 1, "no level is left out");
        level = new;
    }
    for tag in ["script", "link", "img", "iframe", "object"] {
        assert_eq!(tagged(&document, tag).count(), 0, "{tag}");
    }
    // The skip link and the contents lead somewhere.
    for link in tagged(&document, "a") {
        let target = link.attribute("href").unwrap().strip_prefix('#').expect("nothing outside is linked");
        assert!(ids.contains(&target), "{target}");
    }
    assert!(!html.contains("http"), "nothing is fetched");
}

#[test]
fn the_page_says_what_sql_counts_and_names_nobody() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    shop::fill(&mut client, 400, 7);
    client
        .execute("UPDATE consent_data.sender SET name = $1 WHERE is_default", &[&format!("shop {HOSTILE}")])
        .unwrap();
    client
        .execute(
            "UPDATE consent_data.category SET name = $1 WHERE name = 'shoes'",
            &[&format!("shoes {HOSTILE}")],
        )
        .unwrap();
    client
        .batch_execute(
            "INSERT INTO consent_data.audit_question SELECT 'newsletter', name FROM consent_data.category WHERE name LIKE 'shoes%';
             INSERT INTO consent_data.audit_question VALUES ('marketing', NULL);
             SELECT count(consent.opt_out(id, reason => 'I am Jane, write to jane@example.org', reason_code => 'too_many'))
               FROM crm.customer WHERE id % 7 = 0;
             INSERT INTO consent_data.pending (contact_id, restricts) SELECT id, true FROM crm.customer WHERE id <= 15;",
        )
        .unwrap();
    let folder = Folder::new("full");
    let html = render(&cluster, &folder);
    check_form(&html);
    assert!(html.contains("<svg"));
    assert!(
        !html.contains('@') || !html.replace("@media", "").replace("@page", "").contains('@'),
        "no address"
    );
    assert!(!html.contains("Jane"), "no words of people");
    assert!(!html.contains("<b>") && !html.contains("<script"), "no markup of the database's");

    let (code, out, _) = batch(&cluster, &["report", "--json"]);
    assert_eq!(code, 0);
    let first = out.lines().find(|line| line.contains("\"policy_version\"")).unwrap();
    let figures = &serde_json::from_str::<serde_json::Value>(first).unwrap()["figures"];
    let mut counted = 0;
    for message in figures["permission"].as_array().unwrap() {
        let category = message["product_category"].as_str();
        let rows = client
            .query(
                "SELECT jurisdiction, allowed, coalesce(basis, reason), contacts FROM consent.explain_audience($1, $2)",
                &[&message["message_kind"].as_str(), &category],
            )
            .unwrap();
        let sql: BTreeMap<(String, bool, String), u64> =
            rows.iter().map(|r| ((r.get(0), r.get(1), r.get(2)), r.get::<_, i64>(3) as u64)).collect();
        let mut shown = 0;
        for a in message["answers"].as_array().unwrap() {
            let text = |name: &str| a[name].as_str().unwrap().to_owned();
            let key = (text("jurisdiction"), a["allowed"].as_bool().unwrap(), text("code"));
            let contacts = a["contacts"].as_u64().unwrap();
            assert!(contacts >= 10, "{key:?}");
            if key.2 == "other_grounds" {
                let side = sql.iter().filter(|((j, allowed, _), _)| (j, *allowed) == (&key.0, key.1));
                assert!(contacts <= side.map(|(_, n)| n).sum(), "{key:?}");
            } else {
                assert_eq!(sql.get(&key), Some(&contacts), "{key:?}");
            }
            shown += contacts;
            counted += 1;
        }
        assert_eq!(shown + message["pooled"].as_u64().unwrap(), sql.values().sum::<u64>(), "nobody is lost");
    }
    assert!(counted > 10, "{counted}");
    let requests: i64 = shop::number(
        &mut client,
        "SELECT count(*) FROM consent_data.event WHERE kind IN ('opt_out', 'objection', 'erasure_request')
            AND at >= date_trunc('month', now()) - interval '23 months'",
    );
    let told: u64 =
        figures["refusals"].as_array().unwrap().iter().map(|r| r["events"].as_u64().unwrap()).sum();
    assert_eq!(told, requests as u64);
    // What the run left behind is the view's.
    let segments = figures["segments"].as_array().unwrap();
    let shown = shop::number(&mut client, "SELECT count(*) FROM consent.audit_segment_performance");
    assert_eq!(segments.len() as i64, shown);
    for cell in segments.iter().flat_map(|s| [&s["stayed"], &s["refused"]]).filter_map(|n| n.as_u64()) {
        assert!(cell == 0 || cell >= 10, "a small cell: {cell}");
    }
}

#[test]
fn a_database_with_nothing_in_it_has_a_page_too() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "uuid");
    // With no more rights than the batch's role has.
    client.batch_execute("CREATE ROLE night LOGIN IN ROLE consent_batch").unwrap();
    let folder = Folder::new("empty");
    let html = render(&cluster, &folder);
    check_form(&html);
    assert!(html.contains("No opt-outs recorded") && !html.contains("<svg"));
    let (code, out, errors) = batch_as("night", &cluster, &["report", "--text"]);
    assert_eq!(code, 0, "{errors}");
    assert!(out.contains("No sender is registered"), "{out}");
}

#[test]
fn the_page_overwrites_no_folder_and_misses_none_silently() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "text");
    let folder = Folder::new("places");
    let (code, _, errors) = batch(&cluster, &["report", "--html", folder.0.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(errors.contains("is a folder"), "{errors}");
    let (code, _, errors) = batch(&cluster, &["report", "--html", &folder.file("missing/page.html")]);
    assert_eq!(code, 1);
    assert!(errors.contains("there is no folder"), "{errors}");
    client.batch_execute("INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true)").unwrap();
    let file = folder.file("night.html");
    std::fs::write(&file, "old").unwrap();
    assert_eq!(batch(&cluster, &["nightly", "--html", &file]).0, 0);
    assert!(std::fs::read_to_string(&file).unwrap().trim_end().ends_with("</html>"), "replaced as a whole");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left beside it");
}
