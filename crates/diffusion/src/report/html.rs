//! HTML from text that nobody vouches for.

use std::fmt::Write;

/// The text with every character replaced that means something in HTML, in content and in quoted
/// attributes, and those that HTML must not have.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || is_noncharacter(c) => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// A picture as a URI that holds its bytes (RFC 2397), in base 64 (RFC 4648).
pub fn data_uri(png: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut uri = String::from("data:image/png;base64,");
    uri.reserve(png.len().div_ceil(3) * 4);
    for part in png.chunks(3) {
        let byte = |i: usize| u32::from(part.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            uri.push(if i <= part.len() { letter.into() } else { '=' });
        }
    }
    uri
}

/// A picture of a chart with its title and keys.
pub fn figure(title: &str, svg: &str, keys: &[(&str, String)]) -> String {
    let key = |(class, name): &(&str, String)| {
        format!("<span class=\"key\"><i class=\"{class}\"></i>{}</span>", escape(name))
    };
    let keys: String = keys.iter().map(key).collect();
    format!(
        "<figure class=\"curve\">\n<h3>{}</h3>\n{svg}<figcaption>{keys}</figcaption>\n</figure>\n",
        escape(title)
    )
}

/// A table of names and values.
pub fn pairs(rows: impl Iterator<Item = (String, String)>) -> String {
    let mut html = String::from("<table>\n<tbody>\n");
    for (name, value) in rows {
        let _ =
            writeln!(html, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(&name), escape(&value));
    }
    html + "</tbody>\n</table>"
}

/// A number in as many digits as a person reads: four, and powers of ten where it is very large or
/// very small.
pub fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.abs().to_string();
    }
    let digits_before = value.abs().log10().floor() as i32;
    let (number, power) = match digits_before {
        -4..6 => (format!("{value:.*}", (3 - digits_before).max(0) as usize), String::new()),
        _ => {
            let text = format!("{value:.3e}");
            let (number, power) = text.split_once('e').unwrap_or((&text, "0"));
            (number.to_string(), format!("e{power}"))
        }
    };
    let short =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{short}{power}")
}

/// A whole number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_escaped_can_end_a_text_or_an_attribute() {
        assert_eq!(escape(r#"<b>"&'"#), "&lt;b&gt;&quot;&amp;&#39;");
        assert_eq!(escape("a\0b\u{1b}\u{ffff}\nü"), "a\u{fffd}b\u{fffd}\u{fffd} ü");
    }

    /// The examples of RFC 4648.
    #[test]
    fn base_64_is_that_of_the_standard() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(data_uri(text.as_bytes()), format!("data:image/png;base64,{expected}"));
        }
        assert!(data_uri(&[0xff, 0xef, 0xbe]).ends_with("/+++"));
    }

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.123456, "0.1235"),
            (0.00012345, "0.0001234"),
            (0.00001, "1e-5"),
            (-1.5, "-1.5"),
            (1750.0, "1750"),
            (123456.7, "123457"),
            (1.23456e7, "1.235e7"),
            (100.0, "100"),
            (9.99999, "10"),
        ] {
            assert_eq!(significant(value), text);
        }
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1,234,567"]);
    }
}
