//! What an organisation may write, and what it is told when it may not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::pack::{REGION_UNKNOWN, builtin};
use serde_json::json;

fn faults(document: Value) -> Vec<String> {
    validate(&document, builtin()).iter().map(ToString::to_string).collect()
}

fn paths(document: Value) -> Vec<String> {
    validate(&document, builtin()).into_iter().map(|f| f.path).collect()
}

/// The paths of the faults of an amendment, without what all have in common.
fn tighten(rule: &str, patch: Value) -> Vec<String> {
    let pack = rule.split('.').next().unwrap();
    let faults = paths(json!({"extends": pack, "tighten": {rule: patch}}));
    let common = format!("{}.", under("tighten", rule));
    faults.iter().map(|p| p.strip_prefix(&common).unwrap_or(p).to_owned()).collect()
}

const NONE: &[&str] = &[];

#[test]
fn rules_can_be_tightened_in_every_way_that_only_denies_more() {
    for (rule, patch) in [
        ("gb.soft_opt_in/1", json!({"then": {"relationship": {"window": {"years": 2}}}})),
        (
            "gb.soft_opt_in/1",
            json!({"then": {"relationship": {"kinds": ["purchase"], "contested": {"basket": null}}}}),
        ),
        ("gb.soft_opt_in/1", json!({"contested": "gb.basket_is_negotiation", "from": "2027-01-01"})),
        ("gb.soft_opt_in/1", json!({"when": {"channels": ["email"], "to": ["individual:personal"]}})),
        ("gb.soft_opt_in/1", json!({"when": {"regions": ["SCT", REGION_UNKNOWN], "sectors": ["press"]}})),
        (
            "gb.live_calls/1",
            json!({"until": "2027-01-01", "obligations": ["screen_register:TPS", "screen_register:CTPS", "caller_line_identity", "identify_sender", "log_call"]}),
        ),
        (
            "gb.live_calls/1",
            json!({"when": {"except_sectors": ["claims_management", "pensions", "press"]}, "then": {"regime": {"informed": true, "unlisted": ["TPS"]}}}),
        ),
        (
            "gb.tps/1",
            json!({"from": "1990-01-01", "when": {"channels": ["phone_live", "phone_auto"]}, "then": {"register": {"grace_days": 0, "registers": ["TPS", "CTPS", "MPS"], "unless_consent": false}}}),
        ),
        (
            "gb.consent/1",
            json!({"then": {"consent": {"max_age": {"years": 2}, "lapses": true, "written": true}}}),
        ),
        ("gb.consent/1", json!({"when": {"channels": ["email"]}})),
        (
            "gb.research/1",
            json!({"then": {"service": {"never_refused": true}}, "when": {"natures": ["survey"]}}),
        ),
        (
            "gb.form/1",
            json!({"then": {"form": {"postal_address": true}}, "note": "head office", "citation": "house rule 4"}),
        ),
        (
            "fr.calling_hours/2",
            json!({"then": {"hours": {"weekdays": [{"from": "10:00:00", "to": "12:00:00"}, {"from": "12:00:00", "to": "13:00:00"}]}}}),
        ),
        ("fr.call_attempts/2", json!({"then": {"cap": {"attempts": 2, "days": 60}}})),
        ("fr.retention/1", json!({"then": {"retention": {"after": {"months": 30}, "renewal_days": 30}}})),
        ("fr.energy_renovation_calls/1", json!({"then": {"prohibited": {"except_ongoing_contract": false}}})),
        ("fr.phone_consent_consumer/2", json!({"then": {"consent": {"max_age": {"days": 300}}}})),
    ] {
        assert_eq!(tighten(rule, patch.clone()), NONE, "{rule} {patch}");
    }
}

#[test]
fn nothing_that_a_pack_forbids_can_be_allowed() {
    for (rule, patch, expected) in [
        (
            "gb.soft_opt_in/1",
            json!({"then": {"relationship": {"kinds": ["purchase", "browse"]}}}),
            &["then.relationship.kinds"][..],
        ),
        (
            "gb.soft_opt_in/1",
            json!({"then": {"relationship": {"contested": {"basket": null}, "kinds": ["basket"]}}}),
            &["then.relationship.contested"],
        ),
        (
            "gb.soft_opt_in/1",
            json!({"then": {"relationship": {"similar": false, "refusal_offered": false}}}),
            &["then.relationship.refusal_offered", "then.relationship.similar"],
        ),
        (
            "gb.soft_opt_in/1",
            json!({"then": {"relationship": {"basis": "consent"}}}),
            &["then.relationship.basis"],
        ),
        ("gb.soft_opt_in/1", json!({"id": "gb.other/1", "confidence": "low"}), &["id", "confidence"]),
        ("gb.soft_opt_in/1", json!({"obligations": []}), &["obligations"]),
        ("gb.soft_opt_in/1", json!({"when": {"except_natures": []}}), &["when.except_natures"]),
        ("gb.soft_opt_in/1", json!({"when": {"to": null}}), &["when.to"]),
        ("gb.soft_opt_in/1", json!({"from": "1990-01-01"}), &["from"]),
        ("gb.charity_soft_opt_in/1", json!({"when": {"sender": null}}), &["when.sender"]),
        (
            "gb.corporate_scottish_partnership/1",
            json!({"when": {"regions": ["SCT", "ENG"]}}),
            &["when.regions"],
        ),
        ("gb.live_calls/1", json!({"when": {"except_sectors": ["pensions"]}}), &["when.except_sectors"]),
        ("gb.claims_calls/0", json!({"until": null}), &["until"]),
        (
            "gb.pension_client_calls/1",
            json!({"then": {"relationship": {"running": false}}}),
            &["then.relationship.running"],
        ),
        (
            "gb.pension_client_calls/1",
            json!({"then": {"relationship": {"after_end": {"days": 1}}}}),
            &["then.relationship.after_end"],
        ),
        ("gb.tps/1", json!({"from": "2027-01-01"}), &["from"]),
        ("gb.tps/1", json!({"until": "2027-01-01"}), &["until"]),
        ("gb.tps/1", json!({"when": {"to": ["individual:*"]}}), &["when.to"]),
        ("gb.tps/1", json!({"when": {"switch": "gb.basket_is_negotiation"}}), &["when.switch"]),
        (
            "gb.tps/1",
            json!({"then": {"register": {"grace_days": 29, "registers": ["TPS"], "names_sender": true}}}),
            &["then.register.registers", "then.register.grace_days", "then.register.names_sender"],
        ),
        (
            "gb.fps/1",
            json!({"then": {"register": {"unless_consent": true}}}),
            &["then.register.unless_consent"],
        ),
        ("gb.pension_calls/1", json!({"contested": "gb.basket_is_negotiation"}), &["contested"]),
        ("gb.form/1", json!({"then": {"form": {"unsubscribe": false}}}), &["then.form.unsubscribe"]),
        (
            "fr.calling_hours/2",
            json!({"then": {"hours": {"saturday": [{"from": "10:00:00", "to": "11:00:00"}], "on_holidays": true}}}),
            &["then.hours.saturday", "then.hours.on_holidays"],
        ),
        (
            "fr.calling_hours/2",
            json!({"then": {"hours": {"weekdays": [{"from": "12:30:00", "to": "14:30:00"}]}}}),
            &["then.hours.weekdays"],
        ),
        (
            "fr.call_attempts/2",
            json!({"then": {"cap": {"attempts": 5, "days": 0, "hours": 24}}}),
            &["then.cap.attempts", "then.cap.days", "then.cap.hours"],
        ),
        (
            "fr.retention/1",
            json!({"then": {"retention": {"after": {"days": 1095}}}}),
            &["then.retention.after"],
        ),
        (
            "fr.retention/1",
            json!({"then": {"retention": {"actions": ["purchase"]}}}),
            &["then.retention.actions"],
        ),
        (
            "fr.phone_consent_consumer/2",
            json!({"then": {"consent": {"max_age": {"years": 2}, "lapses": true}}}),
            &["then.consent.max_age", "then.consent.lapses"],
        ),
        // Its limit also says which opt-ins lift an opt-out.
        ("fr.phone_consent_consumer/2", json!({"until": "2027-01-01"}), &["until"]),
        ("fr.post/1", json!({"then": {"regime": {"not_bought": false}}}), &["then.regime.not_bought"]),
        (
            "fr.post/1",
            json!({"then": {"regime": {"bought_with_proof": true}}}),
            &["then.regime.bought_with_proof"],
        ),
        ("fr.opt_in_invitation/1", json!({"when": {"switch": null}}), &["when.switch"]),
        (
            "fr.opt_in_invitation/1",
            json!({"then": {"service": {"never_refused": false, "after_erasure": true}}}),
            &["then.service.after_erasure", "then.service.never_refused"],
        ),
        ("fr.opt_in_invitation/1", json!({"when": {"promotional": null}}), &["when.promotional"]),
    ] {
        assert_eq!(tighten(rule, patch.clone()), expected, "{rule} {patch}");
    }
}

#[test]
fn a_rule_keeps_its_kind_and_own_rules_can_only_deny() {
    assert_eq!(tighten("gb.tps/1", json!({"then": {"prohibited": {}}})), ["then"]);
    assert_eq!(tighten("gb.tps/1", json!({"then": {"register": null}})), ["then"]);
    assert_eq!(tighten("gb.tps/1", json!({"then": null})), ["then"]);
    let own = |id: &str, then: Value| {
        let rule = json!({"id": id, "from": "2027-01-01", "then": then, "citation": "house rule 1", "confidence": "high"});
        paths(json!({"extends": "gb", "rules": [rule]}))
    };
    assert_eq!(own("gb.own_ban/1", json!({"prohibited": {}})), NONE);
    assert_eq!(
        own("gb.own_hours/1", json!({"hours": {"weekdays": [{"from": "09:00:00", "to": "17:00:00"}]}})),
        NONE
    );
    assert_eq!(
        own(
            "gb.own_time/1",
            json!({"retention": {"after": {"years": 2}, "actions": ["purchase"], "warn_days": 30, "renewal_days": 30}})
        ),
        NONE
    );
    assert_eq!(own("gb.own_yes/1", json!({"consent": {}})), ["rules[0].then"]);
    assert_eq!(own("gb.own_yes/1", json!({"service": {"basis": "contract"}})), ["rules[0].then"]);
    assert_eq!(own("gb.tps/1", json!({"prohibited": {}})), ["rules[0].id"]);
    assert_eq!(own("gb.own_/1", json!({"prohibited": {}})), ["rules[0].id"]);
    assert_eq!(own("fr.own_ban/1", json!({"prohibited": {}})), ["rules[0].id", "rules[0].id"]);
}

#[test]
fn every_fault_of_an_amendment_is_named_with_its_path() {
    let document = json!({
        "extends": "gb", "form": "2027-01-01",
        "tighten": {
            "gb.no_such_rule/1": {"until": "2027-01-01"},
            "gb.tps/1": {"then": {"register": {"grace": 3, "registers": ["TPZ", "CTPS", "XY"]}}, "from": "soon"},
        },
        "rules": [
            {"id": "gb.own_a/1", "from": "2027-02-30", "then": {"cap": {"attempts": 0, "days": 1}}, "citation": "x", "confidence": "sure"},
            {"id": "gb.own_b/1", "when": {"channels": ["email", "fax", "pager"], "to": ["nobody:*"]}, "then": {"retention": {"after": {"year": 1}}}},
        ],
    });
    let found = paths(document);
    assert_eq!(
        found,
        [
            "form",
            "tighten[\"gb.no_such_rule/1\"]",
            "tighten[\"gb.tps/1\"].from",
            "tighten[\"gb.tps/1\"].then.register.grace",
            "tighten[\"gb.tps/1\"].then.register.registers[0]",
            "tighten[\"gb.tps/1\"].then.register.registers[2]",
            "rules[0].confidence",
            "rules[0].from",
            "rules[1].from",
            "rules[1].citation",
            "rules[1].confidence",
            "rules[1].then.retention.after.year",
            "rules[1].then.retention",
            "rules[1].when.channels[1]",
            "rules[1].when.channels[2]",
            "rules[1].when.to[0]",
        ]
    );
    assert_eq!(paths(json!({"extends": "xx", "rules": []})), ["extends"]);
    assert_eq!(paths(json!({"extends": "gb"})), ["document"]);
    assert_eq!(paths(json!({"extends": 7, "tighten": []})), ["extends", "tighten"]);
    assert_eq!(paths(json!("gb")), ["document"]);
    assert_eq!(paths(json!(null)), ["document"]);
}

/// A jurisdiction that no compiled-in pack knows.
fn nowhere() -> Value {
    json!({
        "id": "qq", "title": "Nowhere", "authority": "none", "mixed_from": "incidental",
        "countries": [{"code": "QQ", "zone": "Etc/UTC"}], "holidays": ["12-25"],
        "switches": [{"id": "qq.point", "default": false, "argument": "one may doubt it", "citation": "Act 1"}],
        "rules": [
            {"id": "qq.consent/1", "from": "2020-01-01", "then": {"consent": {}}, "citation": "Act 2", "confidence": "low"},
            {"id": "qq.draft/1", "from": "2030-01-01", "when": {"switch": "qq.point"}, "then": {"prohibited": {}}, "citation": "Bill 3", "confidence": "low"},
        ],
    })
}

#[test]
fn a_jurisdiction_of_its_own_can_be_added_but_none_replaced() {
    assert_eq!(faults(nowhere()), NONE);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = nowhere();
        change(&mut document);
        paths(document)
    };
    assert_eq!(with(&|d| d["countries"][0]["code"] = json!("GB")), ["countries[0].code"]);
    for alias in ["UK", "RE"] {
        assert_eq!(with(&|d| d["countries"][0]["code"] = json!(alias)), ["countries[0].code"], "{alias}");
    }
    assert_eq!(with(&|d| d["fallback"] = json!(true)), ["fallback"]);
    assert_eq!(with(&|d| d["id"] = json!("gb")), ["id", "switches[0].id", "rules[0].id", "rules[1].id"]);
    assert_eq!(
        with(&|d| d["switches"][0]["id"] = json!("gb.point")),
        ["switches[0].id", "rules[1].when.switch"]
    );
    assert_eq!(with(&|d| d["rules"][1]["id"] = json!("qq.consent/1")), ["rules[1].id"]);
    let broken = with(&|d| {
        d["mixed_from"] = json!("much");
        d["countries"][0]["zone"] = json!(1);
        d["holidays"] = json!(["12-25", "christmas"]);
        d["switches"][0]["default"] = json!("no");
        d["rules"][0]["then"] = json!({"consents": {}});
        d["rules"][1].as_object_mut().unwrap().remove("citation");
    });
    assert_eq!(
        broken,
        [
            "countries[0].zone",
            "holidays[1]",
            "mixed_from",
            "switches[0].default",
            "rules[0].then.consents",
            "rules[1].citation"
        ]
    );
    assert_eq!(paths(json!({})), ["id", "title", "authority", "mixed_from", "rules"]);
}

#[test]
fn two_documents_cannot_tighten_one_rule_or_share_a_country() {
    let a = json!({"extends": "gb", "tighten": {"gb.tps/1": {"then": {"register": {"grace_days": 3}}}}});
    let b = json!({"extends": "gb", "tighten": {"gb.form/1": {"then": {"form": {"postal_address": true}}}}});
    let other = json!({"id": "rr", "countries": [{"code": "QQ"}]});
    assert_eq!(clashes(&a, [&b, &nowhere()]), []);
    assert_eq!(clashes(&a, [&b, &a])[0].path, "tighten[\"gb.tps/1\"]");
    assert_eq!(clashes(&nowhere(), [&other])[0].path, "countries[0].code");
    let applied = apply(builtin(), &[("a".into(), a.clone()), ("b".into(), b), ("c".into(), a)]);
    let refused: Vec<_> = applied.refused.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(refused, ["a", "c"]);
    assert!(applied.packs.iter().find(|p| p.id == "gb").unwrap().fallback);
}

#[test]
fn an_amendment_from_a_day_leaves_the_rule_as_it_is_until_then() {
    let document = json!({"extends": "gb", "from": "2027-01-01", "tighten": {
        "gb.soft_opt_in/1": {"then": {"relationship": {"window": {"years": 2}}}},
        "gb.tps/1": {"then": {"register": {"grace_days": 0}}},
        "gb.live_calls/1": {"until": "2026-12-31"},
    }});
    let applied = apply(builtin(), &[("draft".into(), document)]);
    assert_eq!(applied.refused, []);
    let gb = applied.packs.iter().find(|p| p.id == "gb").unwrap();
    let days = |id: &str| -> Vec<(String, Option<String>)> {
        let all = gb.rules.iter().filter(|r| r.id == id);
        all.map(|r| (r.from.to_string(), r.until.map(|u| u.to_string()))).collect()
    };
    let day = |d: &str| d.to_owned();
    assert_eq!(
        days("gb.soft_opt_in/1"),
        [(day("2003-12-11"), Some(day("2027-01-01"))), (day("2027-01-01"), None)]
    );
    assert_eq!(days("gb.tps/1"), [(day("2003-12-11"), None), (day("2027-01-01"), None)]);
    assert_eq!(days("gb.live_calls/1"), [(day("2003-12-11"), Some(day("2027-01-01")))]);
    let charity = json!({"extends": "gb", "from": "2027-01-01", "tighten": {
        "gb.charity_soft_opt_in/1": {"then": {"relationship": {"window": {"years": 2}}}}}});
    assert_eq!(paths(charity), ["tighten[\"gb.charity_soft_opt_in/1\"]"]);
}

#[test]
fn a_faulty_document_leaves_its_pack_with_service_messages_at_most() {
    let permits = |packs: &[Pack], id: &str| {
        packs
            .iter()
            .find(|p| p.id == id)
            .unwrap()
            .rules
            .iter()
            .map(Phase::of)
            .filter(|p| *p == Phase::Permission)
            .count()
    };
    let gone =
        json!({"extends": "gb", "tighten": {"gb.rule_of_an_older_version/3": {"until": "2027-01-01"}}});
    let applied = apply(builtin(), &[("old".into(), gone)]);
    assert_eq!(applied.refused.len(), 1);
    assert_eq!(permits(&applied.packs, "gb"), 0);
    assert!(permits(&applied.packs, "fr") > 0);
    let gb = applied.packs.iter().find(|p| p.id == "gb").unwrap();
    assert!(gb.rules.iter().any(|r| Phase::of(r) == Phase::Service));

    let service = json!({"extends": "gb", "tighten": {"gb.service/1": {"no_such_field": 1}}});
    let applied = apply(builtin(), &[("service".into(), service)]);
    let gb = applied.packs.iter().find(|p| p.id == "gb").unwrap();
    assert!(!gb.rules.iter().any(|r| Phase::of(r) == Phase::Service));

    for nonsense in [json!(5), json!({"extends": {}})] {
        let applied = apply(builtin(), &[("nonsense".into(), nonsense)]);
        assert_eq!(permits(&applied.packs, "gb") + permits(&applied.packs, "fr"), 0);
    }
}

#[test]
fn every_pack_as_a_draft_of_itself_changes_nothing() {
    for pack in builtin() {
        let document = serde_json::to_value(pack).unwrap();
        let draft = draft(builtin(), &[], &document).map_err(|f| (&pack.id, f)).unwrap();
        assert_eq!((draft.does, draft.loosens), (draft::Does::Replace, vec![]), "{}", pack.id);
        assert!(draft.packs == builtin(), "{}", pack.id);
    }
}

#[test]
fn a_draft_may_loosen_but_says_so() {
    let mut document = serde_json::to_value(builtin().iter().find(|p| p.id == "gb").unwrap()).unwrap();
    let rules = document["rules"].as_array_mut().unwrap();
    let denies = |r: &Value| r["then"].get("prohibited").is_some();
    let gone = rules.iter().position(denies).unwrap();
    let id = rules.remove(gone)["id"].as_str().unwrap().to_owned();
    let draft = draft(builtin(), &[], &document).unwrap();
    assert_eq!(draft.loosens.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    // As own rules the same document is refused.
    assert!(paths(document).contains(&"id".to_owned()));
}

#[test]
fn a_draft_names_its_faults_and_those_it_makes_in_own_rules() {
    let own = json!({"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"when": {"channels": ["email"]}}}});
    let beside = [("ours".to_owned(), own)];
    let mut document = serde_json::to_value(builtin().iter().find(|p| p.id == "gb").unwrap()).unwrap();
    document["rules"].as_array_mut().unwrap().retain(|r| r["id"] != "gb.soft_opt_in/1");
    let faults = draft(builtin(), &beside, &document).unwrap_err();
    assert_eq!(faults[0].path, "own rules `ours`: tighten[\"gb.soft_opt_in/1\"]");
    document["rules"][0]["citation"] = json!("");
    let faults = draft(builtin(), &[], &document).unwrap_err();
    assert_eq!(faults[0].path, "rules[0].citation");
    assert!(draft(builtin(), &[], &json!({"extends": "xx", "rules": []})).is_err());
    assert!(draft(builtin(), &[], &json!([])).is_err());
}
