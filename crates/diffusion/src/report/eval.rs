//! The part of a report that shows an evaluation.

use super::chart::{Chart, Line};
use super::html::{escape, figure, pairs, significant};
use super::picture::Shown;
use crate::eval_file::EvalFile;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// A larger confusion matrix is no picture any more.
const MATRIX_CLASSES: usize = 64;
/// From this share of a row on, the numbers of the confusion matrix are white.
const FULL: f64 = 0.5;

/// The section, with pictures and what they show.
pub fn section(eval: &EvalFile, sheets: &[(&str, Shown)]) -> String {
    let mut html = String::from("<section>\n<h2>Evaluation</h2>\n<div class=\"tables\">\n");
    let numbers: Vec<_> =
        eval.numbers().into_iter().filter_map(|(name, value, _)| Some((name, significant(value?)))).collect();
    if !numbers.is_empty() {
        let _ = writeln!(html, "<div><h3>Numbers</h3>{}</div>", pairs(numbers.into_iter()));
    }
    html += &by_class(eval);
    let settings = eval.settings.iter().flatten().filter(|(_, value)| !value.is_null());
    let mut rows = settings.map(|(name, value)| (name.replace('_', " "), setting(value))).peekable();
    if rows.peek().is_some() {
        let _ = writeln!(html, "<div><h3>How it was measured</h3>{}</div>", pairs(rows));
    }
    html += "</div>\n";
    html += &denoising_loss(eval).unwrap_or_default();
    html += &confusion(eval).unwrap_or_default();
    if !sheets.is_empty() {
        html += "<div class=\"images\">\n";
        html.extend(sheets.iter().map(|(caption, sheet)| sheet.figure(caption)));
        html += "</div>\n";
    }
    html + "</section>\n"
}

/// A setting as text, a path without the folders that lead to it.
fn setting(value: &Value) -> String {
    match value {
        Value::String(text) => match Path::new(text).file_name().filter(|_| Path::new(text).is_absolute()) {
            Some(name) => name.to_string_lossy().into_owned(),
            None => text.clone(),
        },
        value => value.to_string(),
    }
}

/// A bar for the accuracy of each class, and the distance of each.
fn by_class(eval: &EvalFile) -> String {
    let names = eval.class_names();
    let of = |values: &Option<std::collections::BTreeMap<String, Option<f64>>>, name: &str| -> Option<f64> {
        *values.as_ref()?.get(name)?
    };
    if eval.judged.accuracy_by_class.is_none() && eval.judged.frechet_by_class.is_none() {
        return String::new();
    }
    let mut html =
        String::from("<div><h3>By class</h3><div class=\"wide\"><table>\n<thead><tr><th>class</th>");
    if eval.judged.accuracy_by_class.is_some() {
        html += "<th class=\"number\">accuracy</th><th aria-hidden=\"true\"></th>";
    }
    if eval.judged.frechet_by_class.is_some() {
        html += "<th class=\"number\">Fréchet distance</th>";
    }
    html += "</tr></thead>\n<tbody>\n";
    for name in names {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(&name));
        if eval.judged.accuracy_by_class.is_some() {
            let accuracy = of(&eval.judged.accuracy_by_class, &name);
            let text = accuracy.map_or("–".into(), |value| format!("{:.1} %", 100.0 * value));
            let width = 100.0 * accuracy.unwrap_or(0.0).clamp(0.0, 1.0);
            let _ = write!(
                html,
                "<td class=\"number\">{text}</td><td class=\"bar\" aria-hidden=\"true\">\
                 <i style=\"width:{width:.1}%\"></i></td>"
            );
        }
        if eval.judged.frechet_by_class.is_some() {
            let text = of(&eval.judged.frechet_by_class, &name).map_or("–".into(), significant);
            let _ = write!(html, "<td class=\"number\">{text}</td>");
        }
        html += "</tr>\n";
    }
    html + "</tbody>\n</table></div></div>\n"
}

fn denoising_loss(eval: &EvalFile) -> Option<String> {
    let mut points: Vec<(f64, f64)> =
        eval.denoising_loss.as_ref()?.iter().map(|at| (at.t as f64, at.loss)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let title = "Held-out loss by timestep";
    let lines = [Line { class: "one", points, marked: true }];
    let svg = Chart { label: title, x_name: "t", lines: &lines, may_be_logarithmic: true }.svg()?;
    Some(format!("<div class=\"charts\">\n{}</div>\n", figure(title, &svg, &[])))
}

/// The confusion matrix, coloured by shares of its rows.
fn confusion(eval: &EvalFile) -> Option<String> {
    let matrix = eval.judged.confusion.as_ref().filter(|matrix| !matrix.is_empty())?;
    let columns = matrix.iter().map(Vec::len).max()?;
    let mut html =
        String::from("<h3>Confusion</h3>\n<p class=\"quiet\">Rows: asked for; columns: seen.</p>\n");
    if matrix.len().max(columns) > MATRIX_CLASSES {
        return Some(html + "<p>There are too many classes for a table.</p>\n");
    }
    let names = eval.classes.clone().unwrap_or_default();
    let name = |i: usize| names.get(i).map_or_else(|| i.to_string(), |name| escape(name));
    html += "<div class=\"wide\"><table class=\"matrix\">\n<thead><tr><th></th>";
    for column in 0..columns {
        let _ = write!(html, "<th scope=\"col\">{}</th>", name(column));
    }
    html += "</tr></thead>\n<tbody>\n";
    for (i, row) in matrix.iter().enumerate() {
        let total = row.iter().fold(0u64, |sum, &count| sum.saturating_add(count)).max(1);
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", name(i));
        for column in 0..columns {
            let count = row.get(column).copied().unwrap_or(0);
            let share = count as f64 / total as f64;
            let class = match count {
                0 => " class=\"none\"",
                _ if share >= FULL => " class=\"full\"",
                _ => "",
            };
            let _ = write!(html, "<td{class} style=\"--share:{:.1}%\">{count}</td>", 100.0 * share);
        }
        html += "</tr>\n";
    }
    Some(html + "</tbody>\n</table></div>\n")
}
