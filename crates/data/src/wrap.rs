//! Wraps text into lines.

use crate::letters::Letters;

/// The largest number of letters that are shown. A longer text ends in "…".
const MOST_LETTERS: usize = 1000;

/// Breaks a text into lines of at most `width` pixels.
///
/// Lines break at white space and after `-`, `_` and `/` inside words. A word wider than a line breaks
/// anywhere. A line has at least one letter.
pub(crate) fn wrapped(text: &str, letters: &Letters, width: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut reached = 0.0;
    for word in shown(text).split_whitespace() {
        for (i, piece) in pieces(word).into_iter().enumerate() {
            let gap = if i == 0 { " " } else { "" };
            let reaching = letters.width_after(letters.width_after(reached, gap), piece);
            match lines.last_mut() {
                Some(line) if reaching <= width => {
                    line.push_str(gap);
                    line.push_str(piece);
                    reached = reaching;
                }
                _ => {
                    lines.extend(broken(piece, letters, width));
                    reached = lines.last().map_or(0.0, |line| letters.width(line));
                }
            }
        }
    }
    lines
}

/// The width of the widest piece between the preferred breaks.
pub(crate) fn widest_piece(text: &str, letters: &Letters) -> f32 {
    let text = shown(text);
    let widths = text.split_whitespace().flat_map(pieces).map(|piece| letters.width(piece));
    widths.fold(0.0, f32::max)
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Splits a word after signs that join two words: `golden_`, `retriever`.
fn pieces(word: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut before) = (0, None);
    for (at, letter) in word.char_indices() {
        let joins = before.is_some_and(char::is_alphanumeric) && ['-', '_', '/'].contains(&letter);
        let end = at + letter.len_utf8();
        if joins && word[end..].starts_with(char::is_alphanumeric) {
            pieces.push(&word[start..end]);
            start = end;
        }
        before = Some(letter);
    }
    pieces.push(&word[start..]);
    pieces
}

/// Breaks a piece into as many lines as it needs.
fn broken(piece: &str, letters: &Letters, width: f32) -> Vec<String> {
    let (mut lines, mut line, mut reached) = (Vec::new(), String::new(), 0.0);
    for letter in piece.chars() {
        let reaching = letters.width_after(reached, letter.encode_utf8(&mut [0; 4]));
        reached = match line.is_empty() || is_mark(letter) || reaching <= width {
            true => reaching,
            false => {
                lines.push(std::mem::take(&mut line));
                letters.width_after(0.0, letter.encode_utf8(&mut [0; 4]))
            }
        };
        line.push(letter);
    }
    lines.push(line);
    lines
}

/// Whether this is a mark on the letter before it.
fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, width: f32) -> Vec<String> {
        wrapped(text, &Letters::new(10), width)
    }

    #[test]
    fn text_is_broken_where_it_may_be() {
        assert_eq!(lines("ddim, 25 steps,\tguidance 3\n", 1000.0), ["ddim, 25 steps, guidance 3"]);
        assert_eq!(lines("ddim, 25 steps, guidance 3", 60.0), ["ddim, 25", "steps,", "guidance 3"]);
        assert_eq!(lines("golden_retriever", 50.0), ["golden_", "retriever"]);
        assert_eq!(lines("a -1 b", 17.0), ["a", "-1", "b"]);
        assert!(lines(" ", 60.0).is_empty());
    }

    #[test]
    fn no_letter_is_lost_however_narrow_it_is() {
        for text in ["ddim, 25 steps, guidance_interval 0.3-0.8", "x̂₀ and ε̃ of an_extraordinarily/long-name"]
        {
            for width in 0..200 {
                let found = lines(text, width as f32);
                let without_space = |text: &str| text.split_whitespace().collect::<String>();
                assert_eq!(without_space(&found.concat()), without_space(text));
                for line in found.iter().filter(|line| line.chars().filter(|c| !is_mark(*c)).count() > 1) {
                    assert!(Letters::new(10).width(line) <= width as f32, "{line:?} at {width}");
                }
            }
        }
    }

    #[test]
    fn marks_stay_on_their_letters() {
        assert_eq!(lines("x̂x̂", 1.0), ["x̂", "x̂"]);
    }

    #[test]
    fn a_text_without_end_ends() {
        let found = lines(&"a".repeat(1_000_000), 100.0);
        assert!(found.len() < 100 && found.last().unwrap().ends_with('…'));
    }
}
