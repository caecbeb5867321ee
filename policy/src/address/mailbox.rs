//! E-mail addresses as people and CRMs write them, RFC 5322's mailbox: with a name, angle brackets, comments, quotes.
//!
//! Suppression is only as good as this: an address that hashes apart from another spelling of itself is written to.
//! `email_address` judges the address itself, `idna` the domain, ICU's tables the local part.

use super::AddressError;
use email_address::{EmailAddress, Options};
use icu_normalizer::uts46::Uts46MapperBorrowed;

/// `local@domain`, the local part unquoted and folded, the domain in ASCII. Lists of addresses are malformed: nobody
/// could say which one is meant.
pub(super) fn normalise(text: &str) -> Result<String, AddressError> {
    let address = address_of(text)?;
    // Outlook's way to show an address without a name.
    let bare = address.strip_prefix('\'').and_then(|a| a.strip_suffix('\'')).unwrap_or(&address);
    let (local, domain) = bare.rsplit_once('@').ok_or(AddressError::Email)?;
    let domain = idna::domain_to_ascii(domain.trim()).map_err(|_| AddressError::Email)?;
    // The root's dot, or the end of a sentence.
    let domain = domain.strip_suffix('.').unwrap_or(&domain);
    let local = fold(local.trim());
    let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
    let is_valid =
        |local: &str| EmailAddress::parse_with_options(&format!("{local}@{domain}"), options).is_ok();
    let plain = unquote(&local);
    if plain.contains(char::REPLACEMENT_CHARACTER) || !(is_valid(&plain) || is_valid(&local)) {
        return Err(AddressError::Email);
    }
    Ok(format!("{plain}@{domain}"))
}

/// Takes the name and the comments away.
fn address_of(text: &str) -> Result<String, AddressError> {
    let text = text.trim().trim_end_matches([',', ';', ' ']);
    let (mut outside, mut inside) = (String::new(), String::new());
    let (mut comments, mut quoted, mut name_has_at) = (0_u32, false, false);
    // Whether `<` was seen, and whether it waits for its `>`.
    let (mut brackets, mut open) = (false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if comments > 0 {
            match c {
                '\\' => drop(chars.next()),
                '(' => comments += 1,
                ')' => comments -= 1,
                _ => {}
            }
            continue;
        }
        if brackets && !open && !(c.is_whitespace() || c == '(') {
            return Err(AddressError::Email);
        }
        let current = if open { &mut inside } else { &mut outside };
        match c {
            '\\' if quoted => {
                current.push(c);
                current.extend(chars.next());
            }
            '"' => {
                quoted = !quoted;
                current.push(c);
            }
            _ if quoted => current.push(c),
            '(' => comments = 1,
            '<' if !brackets => (brackets, open) = (true, true),
            '>' if open => open = false,
            '<' | '>' => return Err(AddressError::Email),
            _ => {
                name_has_at |= c == '@' && !open;
                current.push(c);
            }
        }
    }
    if comments > 0 || quoted || open {
        return Err(AddressError::Email);
    }
    if !brackets {
        return Ok(outside);
    }
    // `a@b.c, Name <d@e.f>` are two; `a@b.c <a@b.c>` is one.
    if name_has_at && normalise(&outside)? != normalise(&inside)? {
        return Err(AddressError::Email);
    }
    Ok(inside)
}

/// `"a.b"` is `a.b`: quotes are no part of the name (RFC 5321, 4.1.2).
fn unquote(local: &str) -> String {
    let Some(quoted) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) else {
        return local.to_owned();
    };
    let mut chars = quoted.chars();
    std::iter::from_fn(|| chars.next().and_then(|c| if c == '\\' { chars.next() } else { Some(c) })).collect()
}

/// Case-sensitive by RFC 5321 and nowhere in practice; two spellings must not be two people. So also composed and
/// decomposed letters, full-width ones, and those that nobody sees: UTS 46, as for the domain.
fn fold(local: &str) -> String {
    // The small sigma at a word's end is another letter there.
    Uts46MapperBorrowed::new().map_normalize(local.chars()).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_an_address_hashes_apart() {
        let groups: [(&str, &[&str]); 6] = [
            (
                "a@b.c",
                &[
                    "A@B.C",
                    "\"Name\" <A@B.c>",
                    "Name <a@b.c>",
                    "Name<a@b.c>",
                    "<a@b.c>",
                    "< a@b.c >",
                    "\"Doe, J. (x) <y@z.w>\" <a@b.c>",
                    "Doe, John <a@b.c>",
                    "a@b.c (Name (nested) here)",
                    "a(comment)@b.c",
                    "\"a\"@b.c",
                    "\"\\a\"@b.c",
                    "a@b.c <a@b.c>",
                    "'a@b.c' <A@b.c>",
                    "'a@b.c'",
                    "a@b.c.",
                    "a@b.c;",
                    "a@b.c, ",
                    "a @ b.c",
                    "\u{feff}a@b.c",
                    "a\u{200b}@b.c\u{200b}",
                    "ａ@b.c",
                    "\u{a0}a@b.c\n",
                    "a@b。c",
                ],
            ),
            (
                "info@xn--bcher-kva.example",
                &["Info@BÜCHER.example", "info@bu\u{308}cher.example", "info@XN--BCHER-KVA.example"],
            ),
            ("josé@b.co", &["jose\u{301}@b.co", "JOSÉ@b.co", "\"José\"@B.co"]),
            ("οδυσσεσ@b.co", &["ΟΔΥΣΣΕΣ@b.co", "οδυσσες@b.co"]),
            ("a b@c.co", &["\"a b\"@c.co"]),
            ("x@y@b.co", &["\"x@y\"@b.co"]),
        ];
        for (normal, spellings) in groups {
            for s in spellings {
                assert_eq!(normalise(s).as_deref(), Ok(normal), "{s}");
            }
        }
    }

    #[test]
    fn two_addresses_are_not_taken_for_one() {
        for bad in [
            "A <a@b.c>, b@c.d",
            "a@b.c, B <b@c.d>",
            "a@b.c; b@c.d",
            "a@b.c b@c.d",
            "<a@b.c> <b@c.d>",
            "<a@b.c>, <b@c.d>",
            "A <a@b.c",
            "a@b.c>",
            "a@b.c (open",
            "\"a@b.c",
            "<>",
            "Name <>",
            "john smith@b.co",
            "a@[192.0.2.1]",
            ".a@b.co",
            "a..b@c.co",
            "a.@b.co",
            "a@-b.co",
            "a@b..co",
            "a@b.co..",
            "\"\"@b.co",
            "\"\u{200b}\"@b.co",
            "a@b",
            "@b.co",
            "a@",
            "undisclosed-recipients:;",
        ] {
            assert_eq!(normalise(bad), Err(AddressError::Email), "{bad}");
        }
    }

    #[test]
    fn different_people_stay_different() {
        let pairs = [
            ("a+x@b.co", "a@b.co"),
            ("a.b@c.co", "ab@c.co"),
            ("a@straße.de", "a@strasse.de"),
            ("a_b@c.co", "a-b@c.co"),
        ];
        for (a, b) in pairs {
            assert_ne!(normalise(a).unwrap(), normalise(b).unwrap());
        }
    }
}
