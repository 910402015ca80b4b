//! Foreign text in Markdown: it is shown, and never becomes Markdown, HTML or the end of a block.

use crate::words::harmless;

/// As part of a paragraph, a heading or a table's cell.
pub fn text(foreign: &str) -> String {
    let mut shown = String::with_capacity(foreign.len());
    for c in plain(foreign).chars() {
        if "\\`*_{}[]<>#!|~&$".contains(c) {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

/// As code within a line.
pub fn code(foreign: &str) -> String {
    let foreign = plain(foreign).replace('|', "\\|");
    let quotes = "`".repeat(longest_run(&foreign) + 1);
    let space = if foreign.starts_with('`') || foreign.ends_with('`') { " " } else { "" };
    format!("{quotes}{space}{foreign}{space}{quotes}")
}

/// As a block of code.
pub fn block(language: &str, foreign: &str) -> String {
    let fence = "`".repeat((longest_run(foreign) + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}\n", foreign.trim_end())
}

/// One line, without what a terminal would obey.
fn plain(foreign: &str) -> String {
    let one_line: String = foreign.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    harmless(&one_line)
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_neither_html_nor_markdown() {
        assert_eq!(text("<script>a</script> | *b* [c](d)"), r"\<script\>a\</script\> \| \*b\* \[c\](d)");
        assert_eq!(text("a\n```\n# b"), r"a \`\`\` \# b");
        assert_eq!(text("T-shirt/top 1.5"), "T-shirt/top 1.5");
    }

    #[test]
    fn code_does_not_end_where_its_text_says() {
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(block("toml", "x = \"```\"\n"), "````toml\nx = \"```\"\n````\n");
        assert_eq!(block("toml", "x = 1"), "```toml\nx = 1\n```\n");
    }
}
