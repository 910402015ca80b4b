//! Rust source as words and signs, without its comments, strings and characters.

/// A piece of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An identifier or a keyword.
    Word(String),
    /// `::`
    PathSeparator,
    /// Any other sign; a number, a string or a character is one too, `0`.
    Sign(char),
}

impl Token {
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(own) if own == word)
    }

    pub fn is_sign(&self, sign: char) -> bool {
        *self == Token::Sign(sign)
    }
}

/// The tokens of a file that the compiler accepts; of another file, something.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        let rest = &chars[at..];
        at += match first {
            c if c.is_whitespace() => 1,
            '/' if rest.starts_with(&['/', '/']) => line(rest),
            '/' if rest.starts_with(&['/', '*']) => comment(rest),
            '"' => literal(&mut tokens, quoted(rest)),
            '\'' => match lifetime(rest) {
                Some(length) => length,
                None => literal(&mut tokens, character(rest)),
            },
            ':' if rest.starts_with(&[':', ':']) => {
                tokens.push(Token::PathSeparator);
                2
            }
            c if c.is_ascii_digit() => literal(&mut tokens, word(rest)),
            c if is_of_word(c) => match prefixed(rest) {
                Some(length) => literal(&mut tokens, length),
                None => {
                    // A raw identifier is the identifier.
                    let raw = if rest.starts_with(&['r', '#']) { 2 } else { 0 };
                    let length = raw + word(&rest[raw..]);
                    tokens.push(Token::Word(rest[raw..length].iter().collect()));
                    length
                }
            },
            sign => {
                tokens.push(Token::Sign(sign));
                1
            }
        };
    }
    tokens
}

fn literal(tokens: &mut Vec<Token>, length: usize) -> usize {
    tokens.push(Token::Sign('0'));
    length
}

fn is_of_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word(rest: &[char]) -> usize {
    rest.iter().take_while(|c| is_of_word(**c)).count()
}

fn line(rest: &[char]) -> usize {
    rest.iter().take_while(|c| **c != '\n').count()
}

/// `/* … */`, which may hold others.
fn comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// `"…"`
fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// `'x'`
fn character(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '\'' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// `'a`, where it is no character.
fn lifetime(rest: &[char]) -> Option<usize> {
    let length = word(&rest[1..]);
    (length > 0 && rest.get(1 + length) != Some(&'\'')).then_some(1 + length)
}

/// A string or character behind letters: `b"…"`, `c"…"`, `b'x'`, `r#"…"#`, `br"…"`.
fn prefixed(rest: &[char]) -> Option<usize> {
    let letters = word(rest);
    let prefix: String = rest[..letters].iter().collect();
    let rest = &rest[letters..];
    match (prefix.as_str(), rest.first()?) {
        ("b" | "c", '"') => Some(letters + quoted(rest)),
        ("b", '\'') => Some(letters + character(rest)),
        ("r" | "br" | "cr", '"' | '#') => Some(letters + raw(rest)?),
        _ => None,
    }
}

/// `"…"` or `#"…"#`, in which a backslash is one.
fn raw(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    if rest.get(hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let start = hashes + 1;
    let inside = rest[start..].windows(end.len()).position(|window| window == end);
    Some(inside.map_or(rest.len(), |inside| start + inside + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        let word = |token| if let Token::Word(word) = token { Some(word) } else { None };
        tokens(source).into_iter().filter_map(word).collect()
    }

    #[test]
    fn comments_are_left_out() {
        assert_eq!(words("a // b\n/* c /* d */ e */ f /// g\n//! h\ni"), ["a", "f", "i"]);
    }

    #[test]
    fn strings_and_characters_are_left_out() {
        let source = r####"a "b \" c" d 'e' f '\'' g b"h" b'i' r#"j " k"# br"l \" m '"' n r"" o"####;
        assert_eq!(words(source), ["a", "d", "f", "g", "m", "n", "o"]);
    }

    #[test]
    fn lifetimes_are_no_characters_and_raw_names_are_names() {
        assert_eq!(
            words("fn f<'a>(x: &'a T, y: &'static U) r#type"),
            ["fn", "f", "x", "T", "y", "U", "type"]
        );
    }

    #[test]
    fn a_path_has_separators() {
        let word = |word: &str| Token::Word(word.into());
        let expected = [word("a"), Token::PathSeparator, word("b"), Token::Sign(':'), word("c")];
        assert_eq!(tokens("a::b: c"), expected);
    }
}
