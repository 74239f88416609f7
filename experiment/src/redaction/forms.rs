//! Forms in which a secret comes back: percent-encoded, escaped, in base64 beside other things, as part of a host's
//! name. Each is found without knowing who has written it so.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter secrets in lower case may be any word.
const SHORTEST_HOST: usize = 6;
/// Fewer letters of base64 may be part of anything.
const SHORTEST_BASE64: usize = 4;

/// How a text may be written otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Any of its bytes as `%2F` (RFC 3986, section 2.1).
    Percent,
    /// The same with `+` for a space, as forms have it.
    Form,
    /// Within quotes of JSON and its like: `\n`, `\"`, `\u00e9`.
    Escaped,
}

/// One letter, or what stands for it.
struct Letter {
    bytes: [u8; 4],
    count: usize,
    /// How long it is where it stands.
    length: usize,
}

impl Letter {
    const fn byte(byte: u8, length: usize) -> Self {
        Self { bytes: [byte, 0, 0, 0], count: 1, length }
    }

    fn of(letter: char, length: usize) -> Self {
        let mut bytes = [0; 4];
        let count = letter.encode_utf8(&mut bytes).len();
        Self { bytes, count, length }
    }
}

impl Writing {
    pub(super) const ALL: [Self; 3] = [Self::Percent, Self::Form, Self::Escaped];

    /// What begins something that stands for something else.
    const fn marks(self) -> &'static [char] {
        match self {
            Self::Percent => &['%'],
            Self::Form => &['%', '+'],
            Self::Escaped => &['\\'],
        }
    }

    fn read(self, text: &str) -> Option<Letter> {
        let first = text.chars().next()?;
        let read = match (self, first) {
            (Self::Percent | Self::Form, '%') => hexadecimal(text.get(1..3))
                .and_then(|byte| u8::try_from(byte).ok())
                .map(|byte| Letter::byte(byte, 3)),
            (Self::Form, '+') => Some(Letter::byte(b' ', 1)),
            (Self::Escaped, '\\') => escaped(text),
            (Self::Percent | Self::Form | Self::Escaped, _) => None,
        };
        Some(read.unwrap_or_else(|| Letter::of(first, first.len_utf8())))
    }

    /// How long a secret is that begins a text.
    fn begins(self, text: &str, secret: &str) -> Option<usize> {
        let (mut left, mut length) = (secret.as_bytes(), 0);
        while !left.is_empty() {
            let letter = self.read(&text[length..])?;
            left = left.strip_prefix(letter.bytes.get(..letter.count)?)?;
            length += letter.length;
        }
        Some(length)
    }

    /// Where a secret stands in a text that is written like this.
    pub(super) fn find(self, text: &str, secret: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let Some(first) = secret.chars().next().filter(|_| text.contains(self.marks())) else {
            return found;
        };
        let may_begin = |letter: char| letter == first || self.marks().contains(&letter);
        let mut at = 0;
        while let Some(next) = text[at..].find(may_begin) {
            at += next;
            match self.begins(&text[at..], secret) {
                Some(length) => {
                    found.push(at..at + length);
                    at += length;
                }
                None => at += self.read(&text[at..]).map_or(1, |letter| letter.length),
            }
        }
        found
    }
}

fn hexadecimal(digits: Option<&str>) -> Option<u32> {
    let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

fn escaped(text: &str) -> Option<Letter> {
    let plain = |byte: u8| Some(Letter::byte(byte, 2));
    match text.as_bytes().get(1)? {
        b'n' => plain(b'\n'),
        b'r' => plain(b'\r'),
        b't' => plain(b'\t'),
        b'b' => plain(8),
        b'f' => plain(12),
        byte @ (b'"' | b'\'' | b'\\' | b'/') => plain(*byte),
        b'u' => {
            let unit = hexadecimal(text.get(2..6))?;
            // Two halves make a letter beyond the first 65,536 (RFC 8259, section 7).
            let (letter, length) = match (unit, text.get(6..8)) {
                (0xd800..=0xdbff, Some("\\u")) => {
                    let low = hexadecimal(text.get(8..12));
                    let low = low.filter(|low| (0xdc00..0xe000).contains(low))?;
                    (0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00), 12)
                }
                _ => (unit, 6),
            };
            Some(Letter::of(char::from_u32(letter)?, length))
        }
        _ => None,
    }
}

/// What of a secret is told by its base64, whatever stands before and behind it there: `user:` in an
/// `Authorization`, for one.
pub(super) fn base64(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend(secret.as_bytes());
        // Six bits a letter: those at both ends have bits of something else.
        let (first, end) = ((8 * before).div_ceil(6), 8 * bytes.len() / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let form = engine.encode(&bytes).get(first..end).unwrap_or_default().to_owned();
            if form.len() >= SHORTEST_BASE64 && !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "+/-_=".contains(letter)
}

/// Where something stands in a word of base64: all of that word, since its ends are told by the letters around.
pub(super) fn around(text: &str, form: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices(form) {
        if found.last().is_some_and(|last| last.end > at) {
            continue;
        }
        let begin = text[..at].rfind(|letter| !is_part(letter));
        let begin = begin.and_then(|place| Some(place + text[place..].chars().next()?.len_utf8()));
        let end = text[at..].find(|letter| !is_part(letter)).map_or(text.len(), |end| at + end);
        found.push(begin.unwrap_or(0)..end);
    }
    found
}

/// How long lines are where base64 is wrapped: in mail (RFC 2045, section 6.8), and in PEM (RFC 7468, section 2).
const WRAPPED: [usize; 2] = [76, 64];
/// What ends them, also within quotes of JSON and its like.
const ENDS: [&str; 4] = ["\r\n", "\n", r"\r\n", r"\n"];

/// A text in which base64 is wrapped, without the ends of its lines.
pub(super) struct Unwrapped {
    pub(super) text: String,
    /// Where something was left out, and how much up to there.
    left_out: Vec<(usize, usize)>,
}

impl Unwrapped {
    /// `None` where nothing is wrapped.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut unwrapped = Self { text: String::new(), left_out: Vec::new() };
        let (mut run, mut total, mut copied, mut at) = (0, 0, 0, 0);
        while let Some(letter) = text[at..].chars().next() {
            // Texts are long, and few of their letters end a line.
            let may_end = matches!(letter, '\r' | '\n' | '\\');
            let end = ENDS.into_iter().find(|end| may_end && text[at..].starts_with(end));
            let goes_on = |end: &str| text[at + end.len()..].starts_with(is_part);
            match end {
                Some(end) if WRAPPED.contains(&run) && goes_on(end) => {
                    unwrapped.text.push_str(&text[copied..at]);
                    at += end.len();
                    (copied, total) = (at, total + end.len());
                    unwrapped.left_out.push((unwrapped.text.len(), total));
                    run = 0;
                }
                Some(end) => {
                    at += end.len();
                    run = 0;
                }
                None => {
                    at += letter.len_utf8();
                    run = if is_part(letter) { run + 1 } else { 0 };
                }
            }
        }
        unwrapped.text.push_str(&text[copied..]);
        (!unwrapped.left_out.is_empty()).then_some(unwrapped)
    }

    /// Where a part of it stands in the text that it is of.
    pub(super) fn place(&self, part: Range<usize>) -> Range<usize> {
        let before = |at: usize, counts: fn(usize, usize) -> bool| {
            let passed = self.left_out.partition_point(|(place, _)| counts(*place, at));
            passed.checked_sub(1).map_or(0, |last| self.left_out[last].1)
        };
        let start = part.start + before(part.start, |place, at| place <= at);
        start..part.end + before(part.end, |place, at| place < at)
    }
}

/// A secret as it is in the name of a host, if it can be in one and is another text there.
pub(super) fn host(secret: &str) -> Option<String> {
    let fits = secret.len() >= SHORTEST_HOST
        && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let lower = secret.to_ascii_lowercase();
    (fits && lower != secret).then_some(lower)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret() -> impl Strategy<Value = String> {
        prop_oneof!["[ -~]{4,24}", "[a-zA-Z0-9éß😀\"\\\\\n]{4,12}"]
    }

    /// Each byte as somebody may write it.
    fn percent(secret: &str, how: &[u8], space: &str) -> String {
        let mut how = how.iter().cycle();
        let mut written = String::new();
        for letter in secret.chars() {
            match how.next().copied().unwrap_or_default() {
                _ if letter == '%' => written.push_str("%25"),
                _ if letter == '+' => written.push_str("%2b"),
                _ if letter == ' ' => written.push_str(space),
                0 => written.push(letter),
                how => {
                    let mut bytes = [0; 4];
                    for byte in letter.encode_utf8(&mut bytes).bytes() {
                        let upper = format!("%{byte:02X}");
                        written.push_str(&if how == 1 { upper.to_lowercase() } else { upper });
                    }
                }
            }
        }
        written
    }

    fn is_whole(writing: Writing, secret: &str, written: &str) -> Result<(), TestCaseError> {
        let text = format!("https://h/?q={written}&x");
        let found = writing.find(&text, secret);
        let expected = 13..13 + written.len();
        // Where nothing is written otherwise, it is found as it is.
        let is_plain = !text.contains(writing.marks());
        prop_assert!(is_plain || found.contains(&expected), "{text}: {found:?}");
        Ok(())
    }

    proptest! {
        #[test]
        fn whoever_encodes_which_bytes(secret in secret(), how in prop::collection::vec(0_u8..3, 1..9)) {
            is_whole(Writing::Percent, &secret, &percent(&secret, &how, "%20"))?;
            is_whole(Writing::Form, &secret, &percent(&secret, &how, "+"))?;
        }

        #[test]
        fn escaped_as_json_has_it(secret in secret(), units in any::<bool>()) {
            let quoted = serde_json::to_string(&secret).unwrap();
            let mut written = quoted[1..quoted.len() - 1].to_owned();
            if units {
                written = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            }
            is_whole(Writing::Escaped, &secret, &written)?;
        }

        #[test]
        fn base64_of_anything_around_it(
            secret in secret(),
            before in "[a-z:]{0,7}",
            behind in "[a-z]{0,5}",
            safe in any::<bool>(),
        ) {
            let whole = format!("{before}{secret}{behind}");
            let written = match safe {
                true => base64::engine::general_purpose::URL_SAFE.encode(whole),
                false => base64::engine::general_purpose::STANDARD.encode(whole),
            };
            let text = format!("Basic {written}, x");
            let found: Vec<Range<usize>> =
                base64(&secret).iter().flat_map(|form| around(&text, form)).collect();
            prop_assert!(found.contains(&(6..6 + written.len())), "{text}: {found:?}");
        }

        #[test]
        fn base64_in_lines_of_mail_and_of_pem(
            secret in secret(),
            before in 0_usize..120,
            behind in 0_usize..120,
            wide in any::<bool>(),
            end in 0_usize..4,
        ) {
            let whole = format!("{}{secret}{}", "a".repeat(before), "z".repeat(behind));
            let encoded = base64::engine::general_purpose::STANDARD.encode(whole);
            let width = if wide { 76 } else { 64 };
            let lines: Vec<&str> = encoded
                .as_bytes()
                .chunks(width)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            let written = lines.join(ENDS[end]);
            let text = format!("data: {written}, x");
            let found: Vec<Range<usize>> = match Unwrapped::of(&text) {
                Some(unwrapped) => base64(&secret)
                    .iter()
                    .flat_map(|form| around(&unwrapped.text, form))
                    .map(|part| unwrapped.place(part))
                    .collect(),
                None => base64(&secret).iter().flat_map(|form| around(&text, form)).collect(),
            };
            prop_assert_eq!(Unwrapped::of(&text).is_some(), lines.len() > 1);
            prop_assert!(found.contains(&(6..6 + written.len())), "{}: {:?}", text, found);
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}", secret in secret()) {
            for writing in Writing::ALL {
                for range in writing.find(&text, &secret) {
                    prop_assert!(text.get(range.clone()).is_some(), "{range:?} of {text:?}");
                }
            }
            if let Some(unwrapped) = Unwrapped::of(&text) {
                prop_assert!(text.get(unwrapped.place(0..unwrapped.text.len())).is_some());
            }
            for form in base64(&secret) {
                prop_assert!(around(&text, &form).iter().all(|range| text.get(range.clone()).is_some()));
            }
        }
    }

    #[test]
    fn only_lines_of_base64_that_are_full_go_on() {
        let line = |width: usize| "QUJD".repeat(width / 4);
        for (text, is_wrapped) in [
            (format!("{}\nQUJD", line(76)), true),
            (format!("x {}\r\nQUJD", line(64)), true),
            (format!("{}\nQUJD", line(72)), false),
            (format!("{}\n\nQUJD", line(76)), false),
            (format!("{}\n", line(76)), false),
            ("one\ntwo".to_owned(), false),
        ] {
            assert_eq!(Unwrapped::of(&text).is_some(), is_wrapped, "{text}");
        }
        let text = format!("{}\n{}\nQUJD.", line(76), line(76));
        let unwrapped = Unwrapped::of(&text).unwrap();
        assert_eq!(unwrapped.text.len(), text.len() - 2);
        assert_eq!(unwrapped.place(0..156), 0..158);
        assert_eq!(unwrapped.place(0..76), 0..76);
        assert_eq!(unwrapped.place(76..80), 77..81);
        assert_eq!(unwrapped.place(156..157), 158..159);
    }

    #[test]
    fn only_what_can_be_a_host_is_one() {
        assert_eq!(host("TopSecret-9").as_deref(), Some("topsecret-9"));
        for other in ["topsecret", "Top9", "Top Secret"] {
            assert_eq!(host(other), None, "{other}");
        }
    }
}
