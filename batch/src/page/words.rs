//! Figures and codes as people read them.

/// `12345` as `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share from 0 to 1 with one decimal; what is not nothing does not look like it.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p > 0.0 && p < 0.05 => "under 0.1 %".into(),
        p if (99.95..100.0).contains(&p) => "over 99.9 %".into(),
        p => format!("{p:.1} %"),
    }
}

/// The first letters of a text, with a sign that there are more.
pub fn short(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A code's words: `opt_out` is "opt out". The codes are made to be read.
pub fn words(code: &str) -> String {
    match code {
        "soft_opt_in" => "soft opt-in (similar products to a customer)".into(),
        "no_basis" => "no permission of any kind".into(),
        "consent_unproven" => "consent that nothing proves".into(),
        "consent_invalid" => "consent not validly given".into(),
        "opted_out" => "opted out".into(),
        "relationship_not_similar" => "bought, but nothing similar".into(),
        "relationship_no_opt_out_offered" => "bought, but no refusal was offered".into(),
        "relationship_no_sale" => "dealings, but no sale".into(),
        "relationship_refused_at_collection" => "refused when asked at the sale".into(),
        "relationship_expired" => "bought too long ago".into(),
        "retention_expired" => "retention is over".into(),
        "suppressed_address" => "refused by another holder of the address".into(),
        "dirty" => "waiting to be folded anew".into(),
        "unknown_jurisdiction" => "country not known, or no rules for it".into(),
        "switched_off" => "marketing is switched off".into(),
        "key_missing" => "the address key is missing".into(),
        "stale_source" => "the CRM's data is not fresh".into(),
        "contested" => "the law is contested, and nobody decided".into(),
        "erased" => "erasure was requested".into(),
        "opt_out_regime" => "opt-out regime: no consent is asked for".into(),
        "opt_out" => "opt-out".into(),
        "opt_in" => "opt-in".into(),
        "opt_in_confirmed" => "confirmation of an opt-in".into(),
        "list_or_published_address" => "a list, or a published address".into(),
        "opt_in_only" => "opt-in only, no dealings".into(),
        "bought" => "bought something".into(),
        "enquired" => "enquired, or has an account".into(),
        "not_known" => "no dealings known".into(),
        "no_purchase_known" => "no purchase known".into(),
        "no_category_named" => "bought, category not named".into(),
        "other_categories" => "all other categories".into(),
        "small_groups_together" => "small groups together".into(),
        "none" => "no rules for the country".into(),
        _ => code.replace('_', " "),
    }
}

/// A pack's id as a jurisdiction's name: countries by their code.
pub fn jurisdiction(id: &str) -> String {
    match id {
        "none" => "no country, or none with rules".into(),
        "eu" => "EU (other Member States)".into(),
        id => id.to_uppercase(),
    }
}

/// "1 contact", "2 contacts".
pub fn contacts(n: u64) -> String {
    if n == 1 { "1 contact".into() } else { format!("{} contacts", count(n)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nothing_is_rounded_away() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.0001, 0.5, 0.99999, 1.0].map(percent),
            ["0.0 %", "under 0.1 %", "50.0 %", "over 99.9 %", "100.0 %"]
        );
    }

    #[test]
    fn a_long_name_is_cut_between_letters() {
        assert_eq!(short("Crème brûlée", 6), "Crème…");
        assert_eq!(short("tea", 6), "tea");
    }
}
