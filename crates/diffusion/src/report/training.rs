//! The curves of a training, as its report and the studio show them.

use super::chart::{Chart, Line, smooth};
use super::html::{figure, significant};
use crate::eval_file::CopiedShares;
use crate::metrics::{Metrics, Score};

/// A curve is smoothed over this share of its steps.
const SMOOTHED_PARTS: usize = 50;

/// The curves over the steps of a training, each a `<figure class="curve">` of HTML; empty for less than two steps.
///
/// A curve without two values is left out. In a figure are a title, an SVG and a key for each line with its last
/// value. The colours are the page's: it has rules for the CSS classes `one` and `two` of lines, marks and keys,
/// for `raw`, the values of which `one` is the mean, and for `grid`.
pub fn training_curves(metrics: &[Metrics]) -> String {
    let width = (metrics.len() / SMOOTHED_PARTS).max(1);
    let each = |value: &dyn Fn(&Metrics) -> Option<f64>| -> Vec<(f64, f64)> {
        metrics.iter().filter_map(|m| Some((m.step as f64, value(m)?))).collect()
    };
    let noisy = |words: &str, points: Vec<(f64, f64)>| {
        if width == 1 {
            return vec![Curve::new("one", words, points)];
        }
        let last = &points[points.len() - width..];
        let last = last.iter().map(|point| point.1).sum::<f64>() / width as f64;
        // The line itself is the mean of fewer steps at its end.
        let key = format!("{words}, mean of {width} steps: {}", significant(last));
        let line = |class, points| Line { class, points, marked: false };
        let mean = line("one", smooth(&points, width));
        vec![Curve { key: "each step".into(), line: line("raw", points) }, Curve { key, line: mean }]
    };
    let measured = |class, words: &str, value: &dyn Fn(&Metrics) -> Option<f64>| {
        Curve::new(class, words, each(value)).marked()
    };
    let score = |class, words, value: fn(&Score) -> f64| {
        measured(class, words, &move |m| Some(value(m.score.as_ref()?)))
    };
    let copied = |class, words, value: fn(&CopiedShares) -> Option<f64>| {
        measured(class, words, &move |m| value(m.memorisation.as_ref()?))
    };
    let mut loss = noisy("training", each(&|m| Some(m.loss)));
    loss.push(measured("two", "held-out", &|m| m.held_out_loss));
    let norm = noisy("norm", each(&|m| Some(m.grad_norm)));
    let rate = Curve::new("one", "rate", each(&|m| Some(m.learning_rate)));
    let figures = [
        drawn("Loss", true, loss),
        drawn("Norm of the gradient", true, norm),
        drawn("Learning rate", false, vec![rate]),
        drawn("Class accuracy of drawn images", false, vec![score("two", "accuracy", |s| s.accuracy)]),
        drawn(
            "Fréchet distance of drawn images (lower is closer)",
            true,
            vec![score("two", "distance", |s| s.frechet)],
        ),
        drawn(
            "Precision and recall of drawn images",
            false,
            vec![score("one", "precision", |s| s.precision), score("two", "recall", |s| s.recall)],
        ),
        drawn(
            "Drawn images that copy training images",
            false,
            vec![
                copied("one", "copied", |shares| shares.copied_share),
                copied("two", "memorised", |shares| shares.memorised_share),
            ],
        ),
    ];
    figures.into_iter().flatten().collect()
}

/// A line and its key.
struct Curve {
    key: String,
    line: Line,
}

/// The figure of some lines, without those that have no value.
fn drawn(title: &str, may_be_logarithmic: bool, curves: Vec<Curve>) -> Option<String> {
    let curves = curves.into_iter().filter(|curve| !curve.line.points.is_empty());
    let (keys, lines): (Vec<_>, Vec<_>) =
        curves.map(|curve| ((curve.line.class, curve.key), curve.line)).unzip();
    let svg = Chart { label: title, x_name: "step", lines: &lines, may_be_logarithmic }.svg()?;
    Some(figure(title, &svg, &keys))
}

impl Curve {
    /// Its key has the last value.
    fn new(class: &'static str, words: &str, points: Vec<(f64, f64)>) -> Self {
        let last = points.last().map_or(String::new(), |point| format!(": {}", significant(point.1)));
        Self { key: format!("{words}{last}"), line: Line { class, points, marked: false } }
    }

    fn marked(mut self) -> Self {
        self.line.marked = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> Metrics {
        let [score, copies] = match step % 10 {
            0 => [
                r#"{"accuracy":0.5,"frechet":9.0,"precision":0.8,"recall":0.25,"density":1.0,"coverage":0.5}"#,
                r#"{"copied_share":0.01,"memorised_share":0.0}"#,
            ],
            _ => ["null", "null"],
        };
        let line = format!(
            r#"{{"step":{step},"loss":{},"grad_norm":1.0,"learning_rate":0.001,"held_out_loss":null,
                "score":{score},"memorisation":{copies}}}"#,
            1.0 / step as f64
        );
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn there_is_a_curve_for_all_that_was_measured_twice() {
        let all: Vec<Metrics> = (1..=20).map(step).collect();
        let [none, some, whole] = [&all[..1], &all[..10], &all[..]].map(training_curves);
        assert_eq!(none, "");
        let count = |html: &str| html.matches("<figure class=\"curve\">").count();
        assert_eq!((count(&some), count(&whole)), (3, 7), "{whole}");
        for key in [">training: 0.05<", ">recall: 0.25<", ">copied: 0.01<"] {
            assert!(whole.contains(key), "{key} not in:\n{whole}");
        }
        assert!(!whole.contains("held-out") && !whole.contains("NaN"), "{whole}");
    }

    #[test]
    fn the_curves_of_many_steps_are_no_longer_than_those_of_some() {
        let many: Vec<Metrics> = (1..=50_000).map(step).collect();
        let html = training_curves(&many);
        assert!(html.len() < 150_000, "{} bytes", html.len());
        assert!(
            html.contains(">each step<") && html.contains(">training, mean of 1000 steps: 2.02e-5<"),
            "{html}"
        );
    }
}
