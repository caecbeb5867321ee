//! A country as CRMs spell it. The tables are those of `celes` (ISO 3166-1: codes, English names, everyday names); here
//! stands what it lacks, and what it reads where nobody can know what was meant.

use celes::Country;

/// Neither a code of ISO 3166-1 nor an English name, and in use: the EU's and the United Kingdom's own codes, abbreviations,
/// and what the country calls itself.
const ALSO: [(&str, &str); 47] = [
    ("uk", "GB"),
    ("el", "GR"),
    ("britain", "GB"),
    ("wales", "GB"),
    ("gbni", "GB"),
    ("uae", "AE"),
    ("eire", "IE"),
    ("republicofireland", "IE"),
    ("drcongo", "CD"),
    ("congokinshasa", "CD"),
    ("congobrazzaville", "CG"),
    ("vietnam", "VN"),
    ("hongkongsar", "HK"),
    ("macaosar", "MO"),
    ("peoplesrepublicofchina", "CN"),
    ("prc", "CN"),
    ("deutschland", "DE"),
    ("allemagne", "DE"),
    ("duitsland", "DE"),
    ("osterreich", "AT"),
    ("schweiz", "CH"),
    ("suisse", "CH"),
    ("svizzera", "CH"),
    ("svizra", "CH"),
    ("espana", "ES"),
    ("espagne", "ES"),
    ("italia", "IT"),
    ("italie", "IT"),
    ("nederland", "NL"),
    ("belgie", "BE"),
    ("belgique", "BE"),
    ("belgien", "BE"),
    ("frankreich", "FR"),
    ("brasil", "BR"),
    ("nippon", "JP"),
    ("danmark", "DK"),
    ("sverige", "SE"),
    ("norge", "NO"),
    ("suomi", "FI"),
    ("polska", "PL"),
    ("cesko", "CZ"),
    ("slovensko", "SK"),
    ("magyarorszag", "HU"),
    ("hrvatska", "HR"),
    ("lietuva", "LT"),
    ("eesti", "EE"),
    ("ellada", "GR"),
];

/// Names that several countries answer to. `celes` gives one of them.
const AMBIGUOUS: [&str; 5] = ["congo", "america", "saintmartin", "stmartin", "korea"];

/// ISO 3166-1 alpha-2, from that, alpha-3, the number, the English name or a common other one; `None` for everything
/// else. A wrong country would be another's law, an unknown one denies.
pub fn code(text: &str) -> Option<[u8; 2]> {
    // `U.K.`
    let short: String = text.chars().filter(|c| *c != '.' && !c.is_whitespace()).collect();
    let upper = short.to_ascii_uppercase();
    // ISO's user-assigned codes mean what the operator's own rules say, and no country ever.
    if let [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] = *upper.as_bytes()
        && (a == b'X' || a == b'Q' && b >= b'M')
    {
        return Some([a, b]);
    }
    let found = match short.len() {
        2 => Country::from_alpha2(&upper).ok(),
        // All three digits: fewer are dialling codes, or keys of the CRM's own. Kosovo has no number, 383 is its code.
        3 if short.bytes().all(|b| b.is_ascii_digit()) => {
            short.parse().ok().filter(|n| *n != 383).and_then(|n| Country::from_value(n).ok())
        }
        3 => Country::from_alpha3(&upper).ok(),
        _ => None,
    };
    if let Some(country) = found {
        return two_letters(country.alpha2);
    }
    let in_parts = || -> Option<[u8; 2]> {
        // `Korea, Republic of`; `Netherlands (Kingdom of the)`.
        let (name, rest) = text.split_once([',', '('])?;
        named(&letters(&format!("{rest} {name}"))).or_else(|| named(&letters(name)))
    };
    named(&letters(text)).or_else(in_parts)
}

fn named(name: &str) -> Option<[u8; 2]> {
    let name = name.strip_prefix("the").filter(|rest| !rest.is_empty()).unwrap_or(name);
    if name.is_empty() || AMBIGUOUS.contains(&name) {
        return None;
    }
    if let Some((_, code)) = ALSO.iter().find(|(also, _)| *also == name) {
        return two_letters(code);
    }
    // The name first: by its other names American Samoa is Samoa.
    let country = Country::from_name(name)
        .or_else(|_| Country::from_name(format!("the{name}")))
        .or_else(|_| Country::from_alias(name));
    two_letters(country.ok()?.alpha2)
}

fn two_letters(code: &str) -> Option<[u8; 2]> {
    code.as_bytes().try_into().ok()
}

/// Letters and digits in lower case without accents; `&` is read out.
fn letters(text: &str) -> String {
    let text = text.replace('&', " and ");
    let plain = icu_normalizer::DecomposingNormalizerBorrowed::new_nfkd().normalize(&text);
    plain.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_becomes_another_country() {
        let groups: [(&str, &[&str]); 18] = [
            (
                "GB",
                &[
                    "GB",
                    "gb",
                    " uk ",
                    "UK",
                    "GBR",
                    "gbr",
                    "826",
                    "United Kingdom",
                    "the united kingdom",
                    "Great Britain",
                    "England",
                    "Scotland",
                    "Wales",
                    "Northern Ireland",
                    "U.K.",
                    "UNITED  KINGDOM",
                    "United Kingdom of Great Britain and Northern Ireland (the)",
                ],
            ),
            ("GR", &["el", "Greece", "GRC", "300"]),
            ("US", &["us", "USA", "U.S.A.", "United States", "United States of America (the)", "840"]),
            ("DE", &["Germany", "DEU", "276", "Deutschland"]),
            ("NL", &["Netherlands", "The Netherlands", "Netherlands (Kingdom of the)", "Holland"]),
            ("WS", &["Samoa", "WSM"]),
            ("AS", &["American Samoa"]),
            ("KR", &["Korea, Republic of", "South Korea", "Korea (the Republic of)"]),
            ("KP", &["North Korea", "Korea (the Democratic People's Republic of)"]),
            ("CD", &["Congo, the Democratic Republic of the", "DR Congo"]),
            ("CI", &["Côte d'Ivoire", "Ivory Coast"]),
            ("TR", &["Türkiye", "Turkey"]),
            ("AT", &["Österreich", "040", "Austria"]),
            ("BA", &["Bosnia & Herzegovina", "Bosnia and Herzegovina"]),
            ("XK", &["XK", "xk", "Kosovo"]),
            ("QQ", &["QQ", "qq"]),
            ("NE", &["Niger"]),
            ("IE", &["Ireland", "Republic of Ireland", "Éire"]),
        ];
        for (country, spellings) in groups {
            for s in spellings {
                assert_eq!(
                    code(s).map(|c| String::from_utf8(c.to_vec()).unwrap()).as_deref(),
                    Some(country),
                    "{s}"
                );
            }
        }
    }

    #[test]
    fn what_nobody_can_know_is_unknown() {
        for unknown in [
            "",
            " ",
            "0",
            "000",
            "00",
            "ZZ",
            "zz",
            "QA1",
            "EU",
            "AA",
            "n/a",
            "none",
            "unknown",
            "Korea",
            "Congo",
            "Congo, Republic",
            "America",
            "Saint Martin",
            "383",
            "0044",
            "44",
            "40",
            "+44",
            "1",
            "999",
            "0826",
            "ZZZ",
            "G B R X",
            "europe",
            "-",
            "(",
            ",",
            "the",
            "Virgin Islands",
            "null",
        ] {
            assert_eq!(code(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_name_is_read_as_its_own_country() {
        for country in Country::get_countries() {
            let own = two_letters(country.alpha2);
            assert_eq!(code(country.alpha2), own);
            assert_eq!(code(&country.alpha3.to_lowercase()), own);
            if country.alpha2 != "XK" {
                assert_eq!(code(country.code), own);
            }
            if country.alpha2 != "CG" {
                assert_eq!(code(country.long_name), own, "{}", country.long_name);
            }
        }
    }
}
