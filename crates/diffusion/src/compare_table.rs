//! The table of `compare` as text, Markdown and CSV.

use std::fmt::Write;

/// What stands where a run knows nothing.
const NOTHING: &str = "–";

/// A name and a value for each run.
pub struct Row {
    /// What the row is of.
    pub name: String,
    /// One for each run, where it knows one.
    pub values: Vec<Option<String>>,
    /// Whether each value is the best one.
    pub best: Vec<bool>,
}

/// Runs in columns.
pub struct Table {
    /// Names of the runs.
    pub columns: Vec<String>,
    /// What is compared.
    pub rows: Vec<Row>,
    /// Keys of the configurations that differ.
    pub differences: Vec<Row>,
    /// What should not be compared, and why.
    pub notes: Vec<String>,
}

impl Row {
    /// Values of which none is the best.
    pub fn text(name: &str, values: Vec<Option<String>>) -> Self {
        let best = vec![false; values.len()];
        Self { name: name.into(), values, best }
    }

    /// Whether any run has a value.
    pub fn has_values(&self) -> bool {
        self.values.iter().any(Option::is_some)
    }

    fn value(&self, i: usize) -> &str {
        self.values[i].as_deref().unwrap_or(NOTHING)
    }
}

impl Table {
    /// In columns, the best values with an asterisk.
    pub fn text(&self) -> String {
        let mut lines = vec![[vec![String::new()], self.columns.clone()].concat()];
        lines.extend(
            self.lines(&self.rows, |value, best| if best { format!("{value} *") } else { value.into() }),
        );
        let main = lines.len();
        lines.extend(self.lines(&self.differences, |value, _| value.into()));
        for cell in lines.iter_mut().flatten() {
            *cell = plain(cell);
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=self.columns.len()).map(width).collect();
        let mut text = String::new();
        for (i, line) in lines.iter().enumerate() {
            if i == main {
                text += "\nconfigurations differ in\n";
            }
            let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        if self.differences.is_empty() {
            text += "\nthe configurations are the same\n";
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {}", plain(note));
        }
        text
    }

    /// Two tables, the best values bold.
    pub fn markdown(&self) -> String {
        let cell = |text: &str| plain(text).replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;");
        let table = |rows: &[Row]| {
            let columns: Vec<String> = self.columns.iter().map(|name| cell(name)).collect();
            let mut text = format!("| | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
            let show = |value: &str, best| match best {
                true => format!("**{}**", cell(value)),
                false => cell(value),
            };
            for line in self.lines(rows, show) {
                let _ = writeln!(text, "| {} | {} |", cell(line[0].trim()), line[1..].join(" | "));
            }
            text
        };
        let mut text = table(&self.rows);
        text += match self.differences.is_empty() {
            true => "\nThe configurations are the same.\n",
            false => "\nConfigurations differ in\n\n",
        };
        if !self.differences.is_empty() {
            text += &table(&self.differences);
        }
        for note in &self.notes {
            let _ = writeln!(text, "\nNote: {}.", cell(note));
        }
        text
    }

    /// One line for each row, with the names of the runs that have the best value last.
    pub fn csv(&self) -> String {
        let line = |cells: Vec<String>| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
        let head = [vec!["".into()], self.columns.clone(), vec!["best".into()]].concat();
        let mut text = line(head) + "\n";
        for row in self.rows.iter().chain(&self.differences) {
            let best = self.columns.iter().zip(&row.best).filter(|(_, best)| **best);
            let best = best.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
            let values = row.values.iter().map(|value| value.clone().unwrap_or_default()).collect();
            text += &(line([vec![row.name.trim().into()], values, vec![best]].concat()) + "\n");
        }
        text
    }

    fn lines(&self, rows: &[Row], show: impl Fn(&str, bool) -> String) -> Vec<Vec<String>> {
        let line = |row: &Row| {
            let values = (0..self.columns.len()).map(|i| show(row.value(i), row.best[i]));
            std::iter::once(row.name.clone()).chain(values).collect()
        };
        rows.iter().map(line).collect()
    }
}

/// A cell of CSV (RFC 4180).
pub(crate) fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

/// One line that means nothing to a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let loss = Row {
            name: "loss".into(),
            values: vec![Some("0.5".into()), Some("0.25".into()), None],
            best: vec![false, true, false],
        };
        let differences = vec![Row::text("a.b", vec![Some("1".into()), Some("x|y, \"z\"".into()), None])];
        let columns = ["one", "two", "three\u{1b}[31m"].map(String::from).to_vec();
        Table { columns, rows: vec![loss], differences, notes: vec!["a note".into()] }
    }

    #[test]
    fn every_form_marks_the_best_and_quotes_what_it_must() {
        let text = table().text();
        assert!(text.contains("loss  0.5  0.25 *") && text.contains("note: a note"), "{text}");
        assert!(!text.contains('\u{1b}'));
        let markdown = table().markdown();
        assert!(markdown.contains("| loss | 0.5 | **0.25** | – |"), "{markdown}");
        assert!(markdown.contains("| a.b | 1 | x\\|y, \"z\" | – |"), "{markdown}");
        let csv = table().csv();
        assert!(
            csv.contains("loss,0.5,0.25,,two\n") && csv.contains("a.b,1,\"x|y, \"\"z\"\"\",,\n"),
            "{csv}"
        );
    }
}
